"""Boosted trees of XGBoost on handwritten digits: one epoch is some boosting rounds. Needs: pip install xgboost"""

import numpy as np
import xgboost as xgb
from sklearn.datasets import load_digits


def data():
    images, digits = load_digits(return_X_y=True)
    parts = {"train": slice(0, 1000), "validation": slice(1000, 1400), "test": slice(1400, None)}
    return {name: (images[part], digits[part]) for name, part in parts.items()}


def accuracy(trees, images, digits):
    return float(np.mean(trees.predict(xgb.DMatrix(images)).argmax(1) == digits))


def train(trial, *, eta: float = 0.3, max_depth: int = 4, subsample: float = 0.8, rounds: int = 2, epochs: int = 5):
    settings = {
        "objective": "multi:softprob",
        "num_class": 10,
        "eta": eta,
        "max_depth": max_depth,
        "subsample": subsample,
        "nthread": trial.cpus,
        "device": trial.device,
    }
    trees = None
    if saved := trial.load():
        trees = xgb.Booster(model_file=bytearray(saved))
    images, digits = trial.data["train"]
    matrix = xgb.DMatrix(images, label=digits)
    for epoch in range(trial.epoch, epochs):
        settings["seed"] = 1000 * trial.seed + epoch  # XGBoost starts its generator again in each call
        trees = xgb.train(settings, matrix, num_boost_round=rounds, xgb_model=trees)
        trial.save(bytes(trees.save_raw()))
        yield {"val_accuracy": accuracy(trees, *trial.data["validation"])}


def test(trial, **config):
    return {"accuracy": accuracy(xgb.Booster(model_file=bytearray(trial.load())), *trial.data["test"])}
