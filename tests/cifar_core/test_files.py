"""A file is either the old or the new one, whatever happens while it is written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_core.common.files import atomic_path, atomic_write


def write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def write_half_and_raise(path: Path, error: BaseException) -> None:
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        raise error


def test_the_file_contains_the_written_bytes_and_no_other_file_remains(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"

    for content in (b"a longer first version", b"second"):
        write(path, content)

        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


def test_parent_folders_are_created(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "table.csv"

    write(path, b"content")

    assert path.read_bytes() == b"content"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_leaves_the_old_file_and_nothing_else(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write(path, b"old")

    with pytest.raises(error):
        write_half_and_raise(path, error())

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        write_half_and_raise(tmp_path / "table.csv", OSError("disk full"))

    assert list(tmp_path.iterdir()) == []


def test_a_failed_rename_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.mkdir()

    with pytest.raises(OSError, match=r"table\.csv"):
        write(path, b"content")

    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write(path, b"old")

    with atomic_write(path) as file:
        for part in (b"ne", b"w"):
            file.write(part)
            file.flush()

            assert path.read_bytes() == b"old"
            assert list(tmp_path.glob("table.csv*")) == [path]

    assert path.read_bytes() == b"new"


def test_a_reader_that_has_the_old_file_open_reads_on_in_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write(path, b"old")

    with path.open("rb") as reader:
        write(path, b"new")

        assert reader.read() == b"old"


def test_a_file_can_be_checked_before_it_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write(path, b"old")

    with atomic_path(path) as hidden:
        hidden.write_bytes(b"new")

        assert (hidden.read_bytes(), path.read_bytes(), hidden.parent) == (b"new", b"old", tmp_path)

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"

    with atomic_write(path) as first:
        first.write(b"from the first")
        write(path, b"second")

        assert path.read_bytes() == b"second"

    assert path.read_bytes() == b"from the first"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"

    write(path, b"content")

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_the_content_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    done: list[tuple[int, bool]] = []
    monkeypatch.setattr("os.fsync", lambda handle: done.append((os.fstat(handle).st_size, path.exists())))

    write(path, b"content")

    assert done == [(len(b"content"), False)]


def test_writing_a_file_needs_no_torch() -> None:
    code = "import sys, cifar_core.common.files; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic_write(pipe) as file:
            file.write(b"rows")
        assert os.read(reader, 10) == b"rows"
        assert pipe.is_fifo()
        with pytest.raises(OSError, match="not a regular file"), atomic_path(pipe):
            pass
    finally:
        os.close(reader)


def test_a_link_stays_one_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "board.csv").write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "board.csv")
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "board.csv").read_text() == "new"
