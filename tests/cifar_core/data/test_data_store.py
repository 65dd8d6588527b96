"""The prepared data on disk: fetched once, complete or missing, and always verified."""

from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_fakes import DeadSource, TinySource, fingerprints_of, random_images, tiny_cifar
from filelock import FileLock
from rich.console import Console

from cifar_core.common.errors import DataUnavailableError
from cifar_core.common.progress import Reporter
from cifar_core.data import prepared
from cifar_core.data.sources.contract import FetchedImages, Source
from cifar_core.data.store import Store

TINY = tiny_cifar()


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def source(tmp_path: Path) -> TinySource:
    return TinySource(log=tmp_path / "log")


@pytest.fixture
def store(tmp_path: Path, source: TinySource, said: io.StringIO) -> Store:
    return tiny_store(tmp_path / "data", source, reporter=Reporter(console=Console(file=said, width=500)))


def tiny_store(directory: Path, *sources: Source, reporter: Reporter | None = None) -> Store:
    return Store(
        directory=directory,
        sources=sources,
        fingerprints=fingerprints_of(TINY),
        reporter=reporter or Reporter(enabled=False),
    )


def test_loaded_data_equals_the_sources_data(store: Store) -> None:
    train, test = store.load("train"), store.load("test")
    np.testing.assert_array_equal(train.images_NHWC, TINY.train.images_NHWC)
    np.testing.assert_array_equal(train.labels_N, TINY.train.labels_N)
    np.testing.assert_array_equal(test.images_NHWC, TINY.test.images_NHWC)
    np.testing.assert_array_equal(test.labels_N, TINY.test.labels_N)


def test_data_is_fetched_once(store: Store, source: TinySource) -> None:
    first = store.fetch()
    second = store.fetch()
    store.load("train")
    assert source.times == 1
    assert (first.already_there, second.already_there) == (False, True)
    assert first.source == second.source == "tiny"


def test_images_are_mapped_from_the_file(store: Store) -> None:
    images_NHWC = store.load("train").images_NHWC
    assert isinstance(images_NHWC.base, np.memmap)
    assert not images_NHWC.flags.writeable


def test_only_the_prepared_files_remain(store: Store) -> None:
    store.fetch()
    kept = {path.name for path in store.directory.iterdir()} - {".lock"}
    assert kept == {*prepared.FILES, "meta.json"}


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_one_bit_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_one_bit_in_the_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_fortran_ordered(path: Path) -> None:
    np.save(path, np.asfortranarray(np.load(path)))


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


DAMAGES = [
    cut_in_half,
    flip_one_bit_in_the_middle,
    flip_one_bit_in_the_header,
    empty,
    lengthen,
    Path.unlink,
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["train_images.npy", "train_labels.npy"])
def test_a_damaged_file_is_detected_and_fetched_again(
    store: Store, source: TinySource, said: io.StringIO, name: str, damage: Callable[[Path], None]
) -> None:
    store.fetch()
    damage(store.directory / name)
    images = store.load("train")
    np.testing.assert_array_equal(images.images_NHWC, TINY.train.images_NHWC)
    np.testing.assert_array_equal(images.labels_N, TINY.train.labels_N)
    assert source.times == 2
    assert name in said.getvalue()
    assert "Fetching the data again" in said.getvalue()


def test_an_array_in_another_memory_order_is_detected(store: Store, source: TinySource) -> None:
    store.fetch()
    make_fortran_ordered(store.directory / "train_images.npy")
    np.testing.assert_array_equal(store.load("train").images_NHWC, TINY.train.images_NHWC)
    assert source.times == 2


@pytest.mark.parametrize("meta", ["", "{", "[]", '{"format": 1}', '{"format": 0, "bytes": {}}'])
def test_an_inconsistent_meta_file_is_detected(store: Store, source: TinySource, said: io.StringIO, meta: str) -> None:
    store.fetch()
    (store.directory / "meta.json").write_text(meta)
    assert len(store.load("train")) == 100
    assert source.times == 2
    assert "Fetching the data again" in said.getvalue()


def test_files_of_another_format_are_prepared_again(store: Store, source: TinySource) -> None:
    store.fetch()
    path = store.directory / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": prepared.FORMAT + 1}))
    store.load("train")
    assert source.times == 2


def test_files_without_meta_count_as_incomplete(store: Store, source: TinySource, said: io.StringIO) -> None:
    store.fetch()
    (store.directory / "meta.json").unlink()
    store.load("test")
    assert source.times == 2
    assert "not written completely" in said.getvalue()


def test_a_warning_about_damage_is_given_without_progress_too(
    tmp_path: Path, source: TinySource, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tiny_store(tmp_path / "data", source)
    store.fetch()
    assert capsys.readouterr().err == ""
    empty(store.directory / "test_labels.npy")
    store.fetch()
    assert "test_labels.npy" in capsys.readouterr().err.replace("\n", "")


def test_training_images_load_while_the_test_files_are_gone(store: Store, source: TinySource) -> None:
    store.fetch()
    (store.directory / "test_images.npy").unlink()
    (store.directory / "test_labels.npy").unlink()
    store.load("train")
    assert source.times == 1


def test_prepared_data_is_served_without_any_source(store: Store) -> None:
    store.fetch()
    assert len(tiny_store(store.directory).load("train")) == 100


def test_the_next_source_is_tried_when_one_fails(tmp_path: Path, source: TinySource) -> None:
    report = tiny_store(tmp_path / "data", DeadSource(), source).fetch()
    assert report.source == "tiny"


def other_train_images() -> FetchedImages:
    return replace(TINY, train=random_images(100, seed=7))


def other_test_images() -> FetchedImages:
    return replace(TINY, test=random_images(20, seed=7))


def other_train_labels() -> FetchedImages:
    labels_N = TINY.train.labels_N.copy()
    labels_N[-1] = 3
    return replace(TINY, train=replace(TINY.train, labels_N=labels_N))


def other_test_labels() -> FetchedImages:
    labels_N = TINY.test.labels_N.copy()
    labels_N[-1] = 3
    return replace(TINY, test=replace(TINY.test, labels_N=labels_N))


@pytest.mark.parametrize("wrong", [other_train_images, other_test_images, other_train_labels, other_test_labels])
def test_a_source_that_returns_other_data_is_rejected(tmp_path: Path, wrong: Callable[[], FetchedImages]) -> None:
    liar = TinySource(log=tmp_path / "log", name="liar", images=wrong())
    store = tiny_store(tmp_path / "data", liar)
    with pytest.raises(DataUnavailableError, match="liar: returned data other than CIFAR-10"):
        store.fetch()
    assert [path.name for path in store.directory.iterdir()] == [".lock"]


def test_without_a_source_the_error_lists_reasons_and_a_manual_remedy(tmp_path: Path) -> None:
    sources = DeadSource(name="first", reason="no route"), DeadSource(name="second", reason="not installed")
    with pytest.raises(DataUnavailableError) as raised:
        tiny_store(tmp_path / "data", *sources).load("train")
    message = str(raised.value)
    assert "first: no route" in message
    assert "second: not installed" in message
    assert "cifar-10-python.tar.gz" in message
    assert str(tmp_path / "data") in message


def test_force_fetches_existing_data_again(store: Store, source: TinySource) -> None:
    store.fetch()
    mapped_before = store.load("train")
    report = store.fetch(force=True)
    assert (source.times, report.already_there) == (2, False)
    np.testing.assert_array_equal(mapped_before.images_NHWC, TINY.train.images_NHWC)


def test_a_forced_fetch_that_fails_leaves_the_old_data(store: Store) -> None:
    store.fetch()
    dead = tiny_store(store.directory, DeadSource())
    with pytest.raises(DataUnavailableError):
        dead.fetch(force=True)
    assert len(dead.load("train")) == 100


def test_leftovers_of_a_killed_fetch_are_removed(store: Store) -> None:
    leftover = store.directory / ".fetching-abc"
    leftover.mkdir(parents=True)
    (leftover / "train_images.npy").write_bytes(b"half")
    store.fetch()
    assert not leftover.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, source: TinySource) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = tiny_store(tmp_path / "file" / "data", source)
    with pytest.raises(DataUnavailableError, match="cannot be written") as raised:
        store.load("train")
    assert str(store.directory) in str(raised.value)


def test_two_processes_at_once_fetch_once(tmp_path: Path) -> None:
    source = TinySource(log=tmp_path / "log", seconds=1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        lengths = list(pool.map(load_length, [tmp_path / "data"] * 2, [source] * 2))
    assert lengths == [100, 100]
    assert source.times == 1


def load_length(directory: Path, source: TinySource) -> int:
    return len(tiny_store(directory, source).load("train"))


def test_a_lock_that_is_never_released_is_named(store: Store) -> None:
    store.directory.mkdir()
    with (
        FileLock(store.directory / ".lock"),
        pytest.raises(DataUnavailableError, match=r"another process has held .*\.lock for 0\.1 s"),
    ):
        replace(store, lock_seconds=0.1).load("train")


def test_meta_records_source_sizes_and_fingerprints(store: Store) -> None:
    store.fetch()
    meta = json.loads((store.directory / "meta.json").read_text())
    assert meta["source"] == "tiny"
    assert meta["fingerprints"]["train_images"] == store.fingerprints.train_images
    assert meta["bytes"]["train_images.npy"] == (store.directory / "train_images.npy").stat().st_size
