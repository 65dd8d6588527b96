"""A random forest of scikit-learn that grows by some trees per epoch."""

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split


def data():
    images, digits = load_digits(return_X_y=True)
    images, test_images, digits, test_digits = train_test_split(images, digits, test_size=400, random_state=0)
    train_images, val_images, train_digits, val_digits = train_test_split(images, digits, test_size=400, random_state=0)
    return {
        "train": (train_images, train_digits),
        "validation": (val_images, val_digits),
        "test": (test_images, test_digits),
    }


def train(trial, *, max_depth: int = 8, max_features: float = 0.2, trees_per_epoch: int = 10, epochs: int = 5):
    forest = RandomForestClassifier(
        n_estimators=0,
        max_depth=max_depth,
        max_features=max_features,
        random_state=trial.seed,
        n_jobs=trial.cpus,
        warm_start=True,  # each call of `fit` adds trees
    )
    forest = trial.load() or forest
    for _ in range(trial.epoch, epochs):
        forest.set_params(n_estimators=forest.n_estimators + trees_per_epoch)
        forest.fit(*trial.data["train"])
        trial.save(forest)
        yield {"val_accuracy": forest.score(*trial.data["validation"])}


def test(trial, **config):
    return {"accuracy": trial.load().score(*trial.data["test"])}
