"""The notebook's first network: three 5×5 convolutions, and no activation unless one is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cifar_core.models.scaling import scaled

DEFAULT_WIDTH = 32
ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "none": None,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


class SimpleNet(nn.Module):
    """`C(32,5) M C(32,5) M C(64,5) M flatten L(64) L(10)`: rungs *baseline* and *regularized*.

    The convolutions are never followed by an activation. `activation` and `dropout` stand, in this order,
    after each hidden linear layer, and with `regularize_logits` after the last one too. The notebook's
    *regularized* net is `activation="relu", dropout=0.4, regularize_logits=True`.

    Args:
        num_classes: units of the last linear layer.
        width: channels of the first convolution; all other layers but the last scale with it.
        head: hidden linear layers at the default width of 32.
        activation: `none`, `relu`, `gelu` or `tanh`.
        dropout: probability that a value is dropped in training; at 0 there is no dropout layer.
        regularize_logits: apply activation and dropout to the logits as well.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        width: int = DEFAULT_WIDTH,
        head: Sequence[int] = (64,),
        activation: str = "none",
        dropout: float = 0.0,
        regularize_logits: bool = False,
    ) -> None:
        super().__init__()
        first, second, third = (scaled(n, width=width, default_width=DEFAULT_WIDTH) for n in (32, 32, 64))
        self.features = nn.Sequential(
            nn.Conv2d(3, first, kernel_size=5, padding=2),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, kernel_size=5, padding=2),
            nn.MaxPool2d(2),
            nn.Conv2d(second, third, kernel_size=5, padding=2),
            nn.MaxPool2d(2),
        )

        layers: list[nn.Module] = [nn.Flatten()]
        units = third * 4 * 4
        for size in head:
            hidden = scaled(size, width=width, default_width=DEFAULT_WIDTH)
            layers += [nn.Linear(units, hidden), *_regularization(activation, dropout)]
            units = hidden
        layers.append(nn.Linear(units, num_classes))
        if regularize_logits:
            layers += _regularization(activation, dropout)
        self.head = nn.Sequential(*layers)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits, N×num_classes, of N×3×32×32 images."""
        logits_NK: Tensor = self.head(self.features(images_NCHW))
        return logits_NK


def _regularization(activation: str, dropout: float) -> list[nn.Module]:
    layer = ACTIVATIONS[activation]
    layers: list[nn.Module] = [] if layer is None else [layer()]
    if dropout > 0:
        layers.append(nn.Dropout(dropout))
    return layers
