"""The error of a custom data set."""

from __future__ import annotations

from cifar_core.common.errors import DataUnavailableError


class DataError(DataUnavailableError):
    """A data set cannot be used. The message names its source and states the remedy."""
