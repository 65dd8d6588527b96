"""A Lightning module on handwritten digits, one call of `fit` per epoch. Needs: pip install lightning"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def data():
    images, digits = load_digits(return_X_y=True)
    images = images.astype("float32") / 16
    return {"train": (images[:1000], digits[:1000]), "validation": (images[1000:1400], digits[1000:1400])}


class Digits(lightning.LightningModule):
    def __init__(self, learning_rate):
        super().__init__()
        self.learning_rate = learning_rate
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    def training_step(self, batch, index):
        return functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch, index):
        logits = self.layers(batch[0])
        self.log("val_loss", functional.cross_entropy(logits, batch[1]))
        self.log("val_accuracy", (logits.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


def loader(part, **options):
    return DataLoader(TensorDataset(*map(torch.tensor, part)), **options)


def train(trial, *, learning_rate: float, batch_size: int = 50, epochs: int = 4):
    model = Digits(learning_rate)
    trial.load()  # restores torch's random generator
    loaders = [
        loader(trial.data["train"], batch_size=batch_size, shuffle=True),
        loader(trial.data["validation"], batch_size=400),
    ]
    for epoch in range(trial.epoch, epochs):
        trainer = lightning.Trainer(
            max_epochs=epoch + 1,
            accelerator="gpu" if trial.device == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            default_root_dir=trial.folder,
        )
        trainer.fit(model, *loaders, ckpt_path=trial.folder / f"{epoch}.ckpt" if epoch else None)
        trainer.save_checkpoint(trial.folder / f"{epoch + 1}.ckpt")
        trial.save(epoch + 1)
        yield {name: trainer.callback_metrics[name].item() for name in ("val_accuracy", "val_loss")}
