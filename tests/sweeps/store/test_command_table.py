"""Commands to a sweep in a database."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sql

from sweeps.store.command_table import CommandTable


def table(folder: Path, sweep: str = "quick") -> CommandTable:
    return CommandTable(sql.create_engine(f"sqlite:///{folder / 'studies.db'}"), sweep)


def test_a_command_is_read_by_another_process_in_the_order_of_writing(tmp_path: Path) -> None:
    assert table(tmp_path).new() == []
    written = table(tmp_path)
    written.append({"id": "a"})
    written.append({"id": "b"})
    table(tmp_path, "other").append({"id": "c"})
    assert table(tmp_path).new() == [{"id": "a"}, {"id": "b"}]


def test_a_sweep_receives_no_command_of_a_deleted_one(tmp_path: Path) -> None:
    table(tmp_path).clear()
    table(tmp_path).append({"id": "a"})
    table(tmp_path, "other").append({"id": "b"})
    table(tmp_path).clear()
    assert table(tmp_path).new() == []
    assert table(tmp_path, "other").new() == [{"id": "b"}]
