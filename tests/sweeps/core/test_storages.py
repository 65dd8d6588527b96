"""Addresses of storages, their precedence, and that they never contain a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_fakes import Cli, tiny, write_yaml

from sweeps.core.address import check_storage, check_study_storage
from sweeps.core.errors import SweepError
from sweeps.core.storages import (
    LOCAL,
    STORAGE,
    STUDY_STORAGE,
    Storages,
    resolve_storages,
    with_password,
    without_password,
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    monkeypatch.delenv(STUDY_STORAGE, raising=False)


class TestNames:
    @pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/b", "gs://bucket/x", "memory://here/x"])
    def test_a_url_is_unchanged(self, url: str) -> None:
        assert check_storage(url) == url
        assert check_storage(f"{url}/") == url

    def test_a_folder_becomes_an_absolute_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        assert check_storage("there") == str(tmp_path / "there")
        assert check_storage(f"file://{tmp_path}/there") == str(tmp_path / "there")

    @pytest.mark.parametrize(
        "url",
        [
            "s3://key:hush@bucket/x",
            "s3://key@bucket/x",
            "s3://bucket/x?secret_key=hush",
            "s3://bucket/x?AWS_SESSION_TOKEN=hush",
            "sftp://me:hush@host/x",
        ],
    )
    def test_a_secret_in_a_url_is_rejected_and_not_printed(self, url: str) -> None:
        with pytest.raises(ValueError, match="environment") as refused:
            check_storage(url)

        assert "hush" not in str(refused.value)

    @pytest.mark.parametrize("url", ["", "  ", "s3://", "https://bucket.example/x"])
    def test_an_invalid_storage_is_rejected(self, url: str) -> None:
        with pytest.raises(ValueError, match="s3://bucket/prefix"):
            check_storage(url)

    @pytest.mark.parametrize("storage", ["s3:/lab/x", "s3:lab/x", "S3:/lab/x", "gs:/b"])
    def test_a_url_with_a_missing_slash_is_rejected(self, storage: str) -> None:
        name = storage.partition(":")[2].lstrip("/")

        with pytest.raises(ValueError, match=f"Did you mean {storage.partition(':')[0].lower()}://{name}"):
            check_storage(storage)

    def test_a_scheme_is_case_insensitive_and_a_name_is_not(self) -> None:
        assert check_storage("S3://Lab/X") == "s3://Lab/X"

    def test_the_url_of_a_sqlite_file_becomes_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        assert check_study_storage("sqlite:///studies.db") == f"sqlite:///{tmp_path}/studies.db"
        assert check_study_storage("sqlite:////there/x.db?timeout=5") == "sqlite:////there/x.db?timeout=5"

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///x?mode=memory"])
    def test_a_database_in_memory_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="in memory"):
            check_study_storage(url)

    @given(st.text(min_size=1, max_size=30, alphabet=st.characters(exclude_characters="/@?#[]\\", codec="ascii")))
    def test_no_password_of_a_database_is_kept(self, password: str) -> None:
        url = f"postgresql://me:{password}@host/studies"

        assert without_password(url) == "postgresql://me@host/studies"
        with pytest.raises(ValueError, match=r".") as refused:
            check_study_storage(url)
        assert password not in str(refused.value).replace("password", "") or len(password) < 4

    @pytest.mark.parametrize("url", ["studies", "redis://host/0", "s3://bucket", "postgres"])
    def test_an_invalid_database_url_is_rejected(self, url: str) -> None:
        with pytest.raises(ValueError, match="postgresql://user@host/database"):
            check_study_storage(url)

    def test_a_file_with_a_secret_is_rejected_with_its_key(self, tmp_path: Path, cli: Cli) -> None:
        path = write_yaml(tmp_path, tiny(storage="s3://a:hush@b", study_storage="postgresql://me:hush@host/x"))

        result = cli("plan", path)

        assert result.exit_code == 2
        assert "storage: " in result.stderr
        assert "study_storage: " in result.stderr
        assert "PGPASSWORD" in result.stderr


class TestPrecedence:
    def test_the_command_line_overrides_the_environment_which_overrides_the_file(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, flag = Storages(storage="s3://file"), Storages(storage="s3://flag")
        assert resolve_storages() == LOCAL
        assert resolve_storages(file=file).storage == "s3://file"
        monkeypatch.setenv(STORAGE, "s3://environment")

        assert resolve_storages(file=file).storage == "s3://environment"
        assert resolve_storages(file=file, environment=False).storage == "s3://file"
        assert resolve_storages(flag=flag, file=file).storage == "s3://flag"

    def test_an_error_names_the_option_variable_or_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(STORAGE, "https://somewhere/x")

        with pytest.raises(SweepError, match=f"^{STORAGE}: "):
            resolve_storages()

    def test_only_the_environment_may_contain_a_databases_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(STUDY_STORAGE, "postgresql://me:hush@host/x")

        storages = resolve_storages()

        assert storages.study_storage == "postgresql://me@host/x"
        assert with_password(storages.study_storage) == "postgresql://me:hush@host/x"
        assert with_password("postgresql://me@other/x") == "postgresql://me@other/x"


def test_a_password_with_an_at_sign_is_rejected_without_being_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STUDY_STORAGE, "postgresql://me:hush@again@host/x")

    with pytest.raises(SweepError, match="Write %40") as refused:
        with_password(str(resolve_storages().study_storage))

    assert "again" not in str(refused.value)
