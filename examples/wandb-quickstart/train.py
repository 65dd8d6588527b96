"""Train a small network on two spirals with numpy, and log each epoch to W&B. The sweep chooses the configuration."""

import argparse
from itertools import pairwise

import numpy as np
import wandb


def spirals(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points on two spirals with a little noise, (count, 2), and the spiral of each, (count, 1)."""
    random = np.random.default_rng(seed)
    angle = 3 * np.pi * np.sqrt(random.random(count))
    which = random.integers(0, 2, count)
    x = np.stack([np.cos(angle + np.pi * which), np.sin(angle + np.pi * which)], axis=1) * angle[:, None] / 5
    return x + random.normal(0, 0.1, x.shape), which[:, None].astype(float)


def forward(x: np.ndarray, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Return the activations of each layer; the last is the probability of the second spiral."""
    layers = [x]
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        layers.append(np.tanh(layers[-1] @ w + b))
    layers[-1] = (layers[-1] + 1) / 2
    return layers


def loss_of(p: np.ndarray, y: np.ndarray) -> float:
    return float(-np.mean(np.log(np.where(y == 1, p, 1 - p) + 1e-12)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    run = wandb.init(project="spirals", config=parser.parse_args())
    config = wandb.config

    random = np.random.default_rng(config.seed)
    sizes = [2, config.hidden, config.hidden, 1]
    weights: list[np.ndarray] = []
    for inputs, outputs in pairwise(sizes):
        weights += [random.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)), np.zeros(outputs)]
    velocity = [np.zeros_like(w) for w in weights]
    x, y = spirals(1500, seed=1)
    x_val, y_val = spirals(500, seed=2)

    best = 0.0
    for epoch in range(config.epochs):
        order = random.permutation(len(x))
        for start in range(0, len(x), config.batch_size):
            batch = order[start : start + config.batch_size]
            layers = forward(x[batch], weights)
            delta = (layers[-1] - y[batch]) / len(batch)
            for index in range(len(weights) - 2, -1, -2):
                gradients = layers[index // 2].T @ delta, delta.sum(0)
                delta = (delta @ weights[index].T) * (1 - layers[index // 2] ** 2)
                for offset, gradient in enumerate(gradients):
                    velocity[index + offset] = config.momentum * velocity[index + offset] - gradient
                    weights[index + offset] += config.learning_rate * velocity[index + offset]
            wandb.log({"train_loss": loss_of(layers[-1], y[batch])})
        p = forward(x_val, weights)[-1]
        accuracy = float(np.mean((p > 0.5) == y_val))
        best = max(best, accuracy)
        wandb.log({"epoch": epoch, "val_loss": loss_of(p, y_val), "val_acc": accuracy})
        print(f"epoch {epoch}: val_acc {accuracy:.3f}")

    run.summary["best_val_acc"] = best
    wandb.finish()


if __name__ == "__main__":
    main()
