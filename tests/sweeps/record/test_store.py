"""Where the record is: an address is parsed, and what is none is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.core.errors import RecordError
from sweeps.record.store import own_file, sqlite_file, store_uri, uri_of_file


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("sqlite:///x.db?timeout=60", "x.db"),
        ("sqlite:///x.db", "x.db"),
        ("sqlite:////tmp/x.db", "/tmp/x.db"),
        ("SQLite:///x.db", "x.db"),
        ("sqlite+pysqlite:///x.db?timeout=60&cache=shared", "x.db"),
        ("sqlite:///file:x.db?mode=rw&uri=true", "x.db"),
        ("sqlite:////tmp/a%20b/x.db", "/tmp/a b/x.db"),
        (" sqlite:///x.db ", "x.db"),
    ],
)
def test_a_sqlite_address_names_its_file(address: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    assert sqlite_file(store_uri(Path("runs"))) == Path(file)


@pytest.mark.parametrize(
    "address", ["http://h:5000", "HTTPS://h/mlflow", "postgresql://u:p@h/db?sslmode=require", "databricks"]
)
def test_other_stores_are_left_to_mlflow(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    assert store_uri(Path("runs")).lower() == address.lower()
    assert sqlite_file(store_uri(Path("runs"))) is None


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("./mlruns", "in a folder any more"),
        ("mlruns", "in a folder any more"),
        ("file:///tmp/mlruns", "in a folder any more"),
        ("file:./mlruns", "in a folder any more"),
        ("sqlite:///", "names no file"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://x.db", "three slashes"),
        ("sqlite:x.db", "three slashes"),
        ("sqlite:////tmp", "is a folder"),
        ("http://", "no host"),
        ("http://h:abc", "no web address"),
        ("ftp://h/x", "no kind of store"),
        ("postgre://h/x", "no kind of store"),
    ],
)
def test_what_is_no_address_is_one_sentence(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    with pytest.raises(RecordError, match=said) as error:
        store_uri(Path("runs"))
    assert "MLFLOW_TRACKING_URI" in str(error.value)
    assert "sqlite:///FOLDER/mlflow.db" in str(error.value)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a%3Fb", "a#b", "a b", "é"])
def test_a_runs_folder_may_be_called_anything(name: str, tmp_path: Path) -> None:
    assert sqlite_file(uri_of_file(own_file(tmp_path / name))) == own_file(tmp_path / name)
