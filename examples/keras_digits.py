"""A Keras model on handwritten digits, one call of `fit` per epoch. Needs: pip install keras"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
import numpy as np
from sklearn.datasets import load_digits


def data():
    images, digits = load_digits(return_X_y=True)
    images = images.astype("float32") / 16
    parts = {"train": slice(0, 1000), "validation": slice(1000, 1400), "test": slice(1400, None)}
    return {name: (images[part], digits[part]) for name, part in parts.items()}


def build(learning_rate, hidden, seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((64,)), keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(trial, *, learning_rate: float, hidden: int = 64, epochs: int = 4):
    model = build(learning_rate, hidden, trial.seed)
    if trial.epoch:
        model = keras.models.load_model(trial.folder / f"{trial.epoch}.keras")
    images, digits = trial.data["train"]
    for epoch in range(trial.epoch, epochs):
        # Not shuffled by Keras: its first `fit` in a process draws more random numbers than the later ones.
        order = np.random.default_rng([trial.seed, epoch]).permutation(len(digits))
        history = model.fit(
            images[order],
            digits[order],
            shuffle=False,
            validation_data=trial.data["validation"],
            batch_size=50,
            epochs=epoch + 1,
            initial_epoch=epoch,
            verbose=0,
        ).history
        model.save(trial.folder / f"{epoch + 1}.keras")
        trial.save(epoch + 1)
        yield {name: history[name][0] for name in ("val_accuracy", "val_loss")}


def test(trial, **config):
    model = keras.models.load_model(trial.folder / f"{trial.epoch}.keras")
    loss, accuracy = model.evaluate(*trial.data["test"], verbose=0)
    return {"accuracy": accuracy, "loss": loss}
