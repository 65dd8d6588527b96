"""A small network in PyTorch on handwritten digits."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def data():
    images, digits = load_digits(return_X_y=True)
    images = images.astype("float32") / 16
    parts = {"train": slice(0, 1000), "validation": slice(1000, 1400), "test": slice(1400, None)}
    return {name: (images[part], digits[part]) for name, part in parts.items()}


def tensors(part, device):
    return [torch.tensor(array, device=device) for array in part]  # a copy: the arrays are read-only


@torch.no_grad()
def scores(model, images, digits):
    logits = model.eval()(images)
    loss = nn.functional.cross_entropy(logits, digits)
    return {"accuracy": (logits.argmax(1) == digits).float().mean().item(), "loss": loss.item()}


def build(hidden, dropout):
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 10))


def train(trial, *, learning_rate: float, hidden: int = 64, dropout: float = 0.2, epochs: int = 8):
    model = build(hidden, dropout).to(trial.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    if saved := trial.load():  # after building the model: this restores torch's random generator too
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    loader = DataLoader(TensorDataset(*tensors(trial.data["train"], trial.device)), batch_size=50, shuffle=True)
    validation = tensors(trial.data["validation"], trial.device)
    for _ in range(trial.epoch, epochs):
        model.train()
        for images, digits in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), digits).backward()
            optimizer.step()
        trial.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
        yield {f"val_{name}": value for name, value in scores(model, *validation).items()}


def test(trial, *, hidden, dropout, **others):
    model = build(hidden, dropout).to(trial.device)
    model.load_state_dict(trial.load()["model"])
    return scores(model, *tensors(trial.data["test"], trial.device))
