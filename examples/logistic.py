"""Logistic regression in NumPy, with its own random generator."""

import numpy as np


def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 20))
    labels = features @ rng.normal(size=20) + rng.normal(size=3000) > 0
    parts = {"train": slice(0, 2000), "validation": slice(2000, 2500), "test": slice(2500, 3000)}
    return {name: (features[part], labels[part]) for name, part in parts.items()}


def scores(weights, features, labels):
    logits = features @ weights
    loss = np.logaddexp(0, np.where(labels, -logits, logits)).mean()
    return {"accuracy": float(((logits > 0) == labels).mean()), "loss": float(loss)}


def train(trial, *, learning_rate: float, batch_size: int = 50, weight_decay: float = 0.0, epochs: int = 10):
    rng = np.random.default_rng(trial.seed)
    weights = rng.normal(size=20)
    if saved := trial.load():
        weights, rng.bit_generator.state = saved
    features, labels = trial.data["train"]
    for _ in range(trial.epoch, epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            error = 1 / (1 + np.exp(-features[batch] @ weights)) - labels[batch]
            weights = weights - learning_rate * (features[batch].T @ error / len(batch) + weight_decay * weights)
        trial.save((weights, rng.bit_generator.state))
        yield {f"val_{name}": value for name, value in scores(weights, *trial.data["validation"]).items()}


def test(trial, **config):
    weights, _ = trial.load()
    return scores(weights, *trial.data["test"])
