"""The address of the record: parsing, and errors for invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.core.errors import RecordError
from sweeps.record.store import default_file, sqlite_file, store_uri, uri_of_file


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
        ("./mlruns", "no longer supports a folder"),
        ("mlruns", "no longer supports a folder"),
        ("file:///tmp/mlruns", "no longer supports a folder"),
        ("file:./mlruns", "no longer supports a folder"),
        ("sqlite:///", "has no file name"),
        ("sqlite://", "has no file name"),
        ("sqlite:///:memory:", "has no file name"),
        ("sqlite://x.db", "three slashes"),
        ("sqlite:x.db", "three slashes"),
        ("sqlite:////tmp", "is a folder"),
        ("http://", "no host"),
        ("http://h:abc", "not a valid URL"),
        ("ftp://h/x", "does not support"),
        ("postgre://h/x", "does not support"),
    ],
)
def test_an_invalid_address_is_an_error(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    with pytest.raises(RecordError, match=said) as error:
        store_uri(Path("runs"))
    assert "MLFLOW_TRACKING_URI" in str(error.value)
    assert "sqlite:///FOLDER/mlflow.db" in str(error.value)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a%3Fb", "a#b", "a b", "é"])
def test_a_runs_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    assert sqlite_file(uri_of_file(default_file(tmp_path / name))) == default_file(tmp_path / name)
