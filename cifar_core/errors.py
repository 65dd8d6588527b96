"""Every exception that speaks to a user of `cifar_core`. Each message says what to do next."""

from __future__ import annotations

from cifar_core.common.errors import UserError


class DataMismatchError(UserError):
    """The images are not as many as the configuration says: they come from another split, or from none."""


class StateMismatchError(UserError):
    """A training state belongs to another configuration, or to another number of images."""


class DeviceError(UserError):
    """The device asked for is not there, or cannot do what the configuration asks of it."""


class ImageError(UserError):
    """An image cannot be read, or is too large."""


class ExportError(UserError):
    """A network cannot be written in the format asked for, or what was written does not compute the same."""
