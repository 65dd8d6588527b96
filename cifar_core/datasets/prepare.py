"""Preparation of a data set: read, decoded, split, checked for duplicates, and stored as arrays of one size."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from cifar_core.common.progress import Reporter
from cifar_core.datasets.about import DataAbout, Triple
from cifar_core.datasets.decode import already_decoded, decode
from cifar_core.datasets.duplicates import MOST_COMPARED, blocks_of, group_images
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.partition import PARTS, group_hashes, parts_of, require_every_class
from cifar_core.datasets.reader import Entry, Listing, listed
from cifar_core.datasets.source import reader_of
from cifar_core.datasets.stored import (
    Prepared,
    Report,
    default_root,
    folder_of,
    note_source,
    noted_source,
    read_prepared,
    write_meta,
    write_part,
)

LOCK_SECONDS = 3600.0
"""Longest wait for another process that prepares the same source."""


def find_prepared(source: str, *, image_size: int, test_share: float) -> Prepared:
    """Return the prepared data of a source. Reads names, sizes and times of files, no image.

    Raises:
        DataError: the source cannot be read, or was not prepared as it is now.
    """
    reader, argument = reader_of(source)
    reader.require(argument)
    noted = noted_source(_key(reader.kind, argument, image_size=image_size, test_share=test_share))
    if noted is not None and noted.get("stamp") == reader.stamp(argument):
        prepared = read_prepared(folder_of(str(noted.get("fingerprint"))))
        if prepared is not None:
            # Other sources may have the same images, but other faults.
            with contextlib.suppress(KeyError, TypeError):
                return replace(prepared, report=Report(**noted["report"]))
            return prepared
    command = f"sweeps data {source}" + ("" if image_size == 32 else f" --image-size {image_size}")
    why = "is not prepared" if noted is None else "has changed since it was prepared"
    raise DataError(f"{source} {why}: run `{command}`")


def prepare(
    source: str, *, image_size: int, test_share: float, reporter: Reporter | None = None, force: bool = False
) -> Prepared:
    """Prepare a source, if it was not prepared as it is now, and return the prepared data.

    Interrupted, it resumes. Data that were prepared from an earlier state of the source are kept for their runs.

    Args:
        source: as a configuration contains it.
        image_size: side of the images in pixels.
        test_share: share of the images to test, for a source without a test part.
        reporter: receives the progress; None for none.
        force: read everything again.

    Raises:
        DataError: the source cannot be read, or cannot be trained on; or the folder of prepared data cannot be written.
    """
    reporter = reporter or Reporter(enabled=False)
    reader, argument = reader_of(source)
    key = _key(reader.kind, argument, image_size=image_size, test_share=test_share)
    try:
        with _locked(key, source, reporter):
            if not force:
                with contextlib.suppress(DataError):
                    return find_prepared(source, image_size=image_size, test_share=test_share)
            stamp = reader.stamp(argument)
            prepared = _prepare(
                source,
                reader.list(argument),
                scratch=default_root() / f".preparing-{key}",
                image_size=image_size,
                test_share=test_share,
                stamp=stamp,
                reporter=reporter,
            )
            noted = {"source": source, "stamp": stamp, "fingerprint": prepared.about.fingerprint}
            note_source(key, noted | {"report": asdict(prepared.report)})
    except KeyboardInterrupt:
        reporter.info("The images that were read are kept: run the same command again to resume.")
        raise
    except OSError as error:
        if error.filename is not None and not Path(error.filename).is_relative_to(default_root()):
            raise DataError(
                f"{source}: {error.filename} cannot be read ({error.strerror}): change its permissions"
            ) from error
        raise DataError(
            f"{source} cannot be prepared in {default_root()} ({error.strerror or error}): make the folder writable, "
            "free some space, or set SWEEPS_DATA_DIR to another folder"
        ) from error
    return prepared


def _key(kind: str, argument: str, *, image_size: int, test_share: float) -> str:
    path = Path(argument).expanduser()
    place = str(path.absolute()) if path.exists() else f"{Path.cwd()}\0{argument}"
    return hashlib.sha256(json.dumps([kind, place, image_size, test_share]).encode()).hexdigest()[:24]


class _locked:  # noqa: N801  # a context manager
    def __init__(self, key: str, source: str, reporter: Reporter) -> None:
        folder = default_root() / "sources"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock, self._source, self._reporter = FileLock(folder / f"{key}.lock"), source, reporter

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._reporter.info(f"waiting for another process that prepares {self._source}")
            try:
                self._lock.acquire(timeout=LOCK_SECONDS)
            except Timeout:
                raise DataError(
                    f"another process has been preparing {self._source} for {LOCK_SECONDS:g} s: end that process"
                ) from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _prepare(
    source: str,
    listing: Listing,
    *,
    scratch: Path,
    image_size: int,
    test_share: float,
    stamp: str,
    reporter: Reporter,
) -> Prepared:
    entries = listing.entries
    done = already_decoded(scratch)
    resumed = f", resuming after {done:,}" if done else ""
    with reporter.stage(f"reading {len(entries):,} images of {source}{resumed}", steps=len(entries)) as advance:
        decoded = decode(listing, scratch, image_size=image_size, stamp=stamp, on_image=advance)
    readable = np.flatnonzero(decoded.is_readable_N)
    unreadable = [(entries[index].place, fault) for index, fault in sorted(decoded.faults.items())]
    if not len(readable):
        places = listed([f"{place} {fault}" for place, fault in unreadable], most=3)
        raise DataError(f"{source}: none of its {len(entries):,} images can be read: {places}")
    with reporter.stage("comparing images to find duplicates", steps=blocks_of(len(readable))) as advance:
        groups_N = group_images(decoded.images_NHWC, readable, decoded.digests_N[readable], on_block=advance)
    kept = [entries[index] for index in readable.tolist()]
    number = {name: index for index, name in enumerate(listing.class_names)}
    labels_N = np.array([number[entry.label] for entry in kept], dtype=np.int64)
    hashes_N = decoded.hashes_N[readable]
    given = [entry.part for entry in kept]
    parts_N = parts_of(given, labels_N=labels_N, hashes_N=hashes_N, groups_N=groups_N, test_share=test_share)
    counts_PK = np.stack([np.bincount(labels_N[parts_N == part], minlength=len(number)) for part in range(len(PARTS))])
    share = None if "test" in given else test_share
    if len(number) < 2:
        raise DataError(f"{source} has one class, {listing.class_names[0]!r}: a classification needs at least two")
    try:
        require_every_class(counts_PK, listing.class_names, source=source, share=share)
    except DataError as error:
        if not unreadable:
            raise
        raise DataError(f"{error}. {len(unreadable)} images cannot be read, such as {unreadable[0][0]}") from None
    is_copy_N = np.ones(len(kept), dtype=bool)
    is_copy_N[np.unique(decoded.digests_N[readable], return_index=True)[1]] = False
    is_alike_N = groups_N != np.arange(len(kept))
    shared, contradictory = _pairs(kept, labels_N=labels_N, parts_N=parts_N, groups_N=groups_N)
    with reporter.stage("writing the prepared images"):
        report = Report(
            source=source,
            image_size=image_size,
            test_share=share,
            counts=counts_PK.tolist(),
            widths=_spread(decoded.widths_N[readable]),
            heights=_spread(decoded.heights_N[readable]),
            unreadable=unreadable,
            copies=int(is_copy_N.sum()),
            near_copies=int((is_alike_N & ~is_copy_N).sum()),
            shared=shared,
            contradictory=contradictory,
            notes=[*listing.notes, *_notes(len(readable))],
        )
        prepared = _write(
            decoded.images_NHWC,
            readable,
            labels_N=labels_N,
            order_N=group_hashes(hashes_N, groups_N),
            parts_N=parts_N,
            places=[entry.place for entry in kept],
            class_names=tuple(listing.class_names),
            report=report,
        )
    shutil.rmtree(scratch, ignore_errors=True)
    return prepared


def _write(
    images_NHWC: npt.NDArray[np.uint8],
    readable: npt.NDArray[np.int64],
    *,
    labels_N: npt.NDArray[np.int64],
    order_N: npt.NDArray[np.uint64],
    parts_N: npt.NDArray[np.int8],
    places: Sequence[str],
    class_names: tuple[str, ...],
    report: Report,
) -> Prepared:
    """Write the parts into a folder that is named by their fingerprint, and return it."""
    root = default_root()
    digest = hashlib.sha256(json.dumps([1, report.image_size, list(class_names)]).encode())
    with tempfile.TemporaryDirectory(dir=root, prefix=".writing-", ignore_cleanup_errors=True) as name:
        scratch = Path(name) / "data"
        scratch.mkdir()
        sizes, mean, std = {}, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        for number, part in enumerate(PARTS):
            chosen_M = np.flatnonzero(parts_N == number)
            sizes[part] = len(chosen_M)
            written_MHWC = write_part(
                scratch,
                part,
                images_NHWC,
                readable[chosen_M],
                labels_M=labels_N[chosen_M],
                order_M=order_N[chosen_M],
                places=[places[index] for index in chosen_M.tolist()],
            )
            digest.update(part.encode())
            digest.update(written_MHWC.data.cast("B") if len(chosen_M) else b"")
            digest.update(labels_N[chosen_M].tobytes())
            if part == "train":
                mean, std = _constants(written_MHWC)
        about = DataAbout(
            fingerprint=digest.hexdigest()[:32],
            class_names=class_names,
            train_images=sizes["train"],
            validation_images=sizes["validation"],
            test_images=sizes["test"],
            mean=mean,
            std=std,
        )
        write_meta(scratch, about, report)
        folder = folder_of(about.fingerprint)
        if read_prepared(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
            scratch.replace(folder)
    return Prepared(folder=folder, about=about, report=report, already_there=False)


def _constants(images_NHWC: npt.NDArray[np.uint8]) -> tuple[Triple, Triple]:
    """Return mean and standard deviation of each channel, from exact sums: the same on every machine."""
    total, squares = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for begin in range(0, len(images_NHWC), 256):
        block = images_NHWC[begin : begin + 256].reshape(-1, 3).astype(np.int64)
        total += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    count = len(images_NHWC) * images_NHWC.shape[1] * images_NHWC.shape[2]
    means, stds = [], []
    for one, square in zip(total.tolist(), squares.tolist(), strict=True):
        means.append(round(one / count / 255, 6))
        variance = (square * count - one * one) / (count * count)
        stds.append(round(max(variance**0.5, 1.0) / 255, 6))
    return (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])


def _spread(values_N: npt.NDArray[np.int64]) -> list[int]:
    return [int(values_N.min()), int(np.median(values_N)), int(values_N.max())]


def _pairs(
    entries: Sequence[Entry],
    *,
    labels_N: npt.NDArray[np.int64],
    parts_N: npt.NDArray[np.int8],
    groups_N: npt.NDArray[np.int64],
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the pairs of images which show the same in the test part and outside it, and in two classes."""
    tested = PARTS.index("test")
    shared, contradictory = list[list[str]](), list[list[str]]()
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups_N.tolist()):
        members.setdefault(group, []).append(index)
    for group in (each for each in members.values() if len(each) > 1):
        outside = [index for index in group if parts_N[index] != tested]
        if outside:
            in_test = [index for index in group if parts_N[index] == tested]
            shared += [[entries[index].place, entries[outside[0]].place] for index in in_test]
        others = [index for index in group if labels_N[index] != labels_N[group[0]]]
        contradictory += [[entries[group[0]].place, entries[index].place] for index in others]
    return shared, contradictory


def _notes(count: int) -> list[str]:
    if count <= MOST_COMPARED:
        return []
    return [f"more than {MOST_COMPARED:,} images: only exact copies were looked for, no near-duplicates"]
