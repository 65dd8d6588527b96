"""Every exception that `cifar_core` raises for users. Each message states the remedy."""

from __future__ import annotations

from cifar_core.common.errors import UserError


class DataMismatchError(UserError):
    """The number of images differs from the configuration: they come from another split, or from none."""


class StateMismatchError(UserError):
    """A training state belongs to another configuration, or to another number of images."""


class DeviceError(UserError):
    """The requested device is not available, or does not support the configuration."""


class ImageError(UserError):
    """An image cannot be read, or is too large."""


class ExportError(UserError):
    """A network cannot be written in the requested format, or the written file computes other results."""
