"""The data sets that this process knows, so that a configuration is validated without looking at files again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.datasets.about import DataAbout
from cifar_core.datasets.errors import DataError

if TYPE_CHECKING:
    from cifar_core.common.progress import Reporter
    from cifar_core.datasets.stored import Prepared

_Key = tuple[str, str, int, float]
_known: dict[_Key, DataAbout] = {}
_failed: dict[_Key, str] = {}
"""Why the last preparation failed."""


def about_of(source: str, *, image_size: int, test_share: float) -> DataAbout:
    """Return the properties of a prepared data set, as this process first found it.

    Args:
        source: as a configuration contains it.
        image_size: side of its images in pixels.
        test_share: share of the test part, for a source without one.

    Raises:
        DataError: the source cannot be read, or is not prepared.
    """
    key = _key(source, image_size, test_share)
    if key in _failed:
        raise DataError(_failed[key])
    if key not in _known:
        from cifar_core.datasets.prepare import find_prepared

        _known[key] = find_prepared(source, image_size=image_size, test_share=test_share).about
    return _known[key]


def prepare_source(
    source: str, *, image_size: int, test_share: float, reporter: Reporter | None = None, force: bool = False
) -> Prepared:
    """Prepare a source (`prepare.prepare`), and use its properties from now on in this process.

    Raises:
        DataError: the source cannot be read, or cannot be trained on; or the folder of prepared data cannot be written.
    """
    from cifar_core.datasets.prepare import prepare

    key = _key(source, image_size, test_share)
    _failed.pop(key, None)
    try:
        prepared = prepare(source, image_size=image_size, test_share=test_share, reporter=reporter, force=force)
    except DataError as error:
        _failed[key] = str(error)
        raise
    _known[key] = prepared.about
    return prepared


def forget() -> None:
    """Forget the known data sets, so that their files are read again."""
    _known.clear()
    _failed.clear()


def _key(source: str, image_size: int, test_share: float) -> _Key:
    return str(Path.cwd()), source, image_size, test_share  # a source may be a relative path
