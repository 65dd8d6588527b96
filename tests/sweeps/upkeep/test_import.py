"""Import of another record: complete, without duplicates, and separate from existing sweeps."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, tiny, write_yaml, written

from sweeps.core.errors import SweepError
from sweeps.record import record_import
from sweeps.record.ownership import OWNER, read_owners
from sweeps.record.reader import MlflowReader
from sweeps.record.record_import import IMPORTED_FROM, RecordImport
from sweeps.record.store import redact
from sweeps.record.table import Row
from sweeps.store.folder import SweepFolder
from sweeps.upkeep.inventory import take_inventory
from sweeps.views.leaderboard import query_leaderboard

OWN = tiny(
    base=tiny()["base"] | {"epochs": 3, "data": tiny()["base"]["data"] | {"train_size": 2000}},
    method="grid",
    run_cap=None,
    parameters={"optimizer.lr": {"values": [0.05, 0.03]}},
)
"""A search with the same name as theirs and one result in common."""
OF_THE_RECORD_ALONE = ["run_id"]


@pytest.fixture
def here(tmp_path: Path, empty_store: Path) -> Path:
    """An empty runs folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def board(runs: Path, sweep: str) -> list[Row]:
    rows = sorted(MlflowReader(runs).runs(sweep=sweep).rows, key=lambda row: (row["trial"], row["seed"]))
    return [{name: value for name, value in row.items() if name not in OF_THE_RECORD_ALONE} for row in rows]


def test_a_folder_is_imported_completely_and_unchanged_there(runs: Path, here: Path, cli: Cli) -> None:
    before = {path: path.read_bytes() for path in sorted(runs.rglob("*")) if path.is_file() and path.suffix != ".db"}

    result = cli("import", runs, "--runs", here)

    assert result.exit_code == 0, result.output
    assert board(here, "tiny") == board(runs, "tiny")
    there, taken = MlflowReader(runs), MlflowReader(here)
    for run in written(here):
        origin = run.tags[IMPORTED_FROM]
        assert taken.curve(run.run_id) == there.curve(origin)
        assert taken.configuration(run.run_id) == there.configuration(origin)
        assert dict(taken._store.files(run.run_id)) == dict(there._store.files(origin))
    assert {path: path.read_bytes() for path in before} == before
    parents = written(here, kind="sweep")
    assert [run.name for run in parents] == [run.name for run in written(runs, kind="sweep")]
    ids = {run.run_id for run in parents}
    assert {run.tags["mlflow.parentRunId"] for run in written(here)} == ids


def test_imported_sweeps_work_with_all_verbs(runs: Path, here: Path, cli: Cli) -> None:
    assert cli("import", runs, "--runs", here).exit_code == 0

    for verb in (("status", "tiny"), ("report", "tiny"), ("list",), ("show", "tiny-000"), ("doctor",)):
        result = cli(*verb, "--runs", here)
        assert result.exit_code == 0, (verb, result.output)
    left = {path.parent.name for path in (here / "sweeps" / "tiny" / "checkpoints").glob("*/state.pt")}
    assert left == {path.parent.name for path in (runs / "sweeps" / "tiny" / "checkpoints").glob("*/state.pt")}
    assert left


def test_a_second_import_imports_nothing(runs: Path, here: Path, cli: Cli) -> None:
    cli("import", runs, "--runs", here)
    known = written(here)

    again = cli("import", runs, "--runs", here)

    assert again.exit_code == 0, again.output
    assert "imported: 0 runs of tiny" in again.stdout
    assert f"imported before: {len(known)} runs" in again.stdout
    assert [run.run_id for run in written(here)] == [run.run_id for run in known]


@pytest.mark.parametrize("dies_at", [10, 11, 12], ids=["before its tags", "before its state", "before its kind"])
def test_an_incomplete_run_of_a_crash_is_hidden_and_rewritten(
    dies_at: int, runs: Path, here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, count = record_import.log_batch, 0

    def dying(*arguments: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count == dies_at:
            raise KeyboardInterrupt
        write(*arguments, **options)

    with monkeypatch.context() as broken:
        broken.setattr(record_import, "log_batch", dying)
        assert cli("import", runs, "--runs", here).exit_code == 130
    for run in written(here):
        assert run.status != "RUNNING"
    assert 0 < len(MlflowReader(here).runs().rows) < len(MlflowReader(runs).runs().rows)

    assert cli("import", runs, "--runs", here).exit_code == 0

    assert board(here, "tiny") == board(runs, "tiny")
    with contextlib.closing(sqlite3.connect(here / "mlflow.db")) as database:
        query = "SELECT count(*) FROM runs JOIN tags USING (run_uuid) WHERE lifecycle_stage = 'active' AND key = ?"
        (active,) = database.execute(query, [IMPORTED_FROM]).fetchone()
    assert active == len(written(here)) + len(written(here, kind="sweep"))


def test_later_changes_there_are_imported_the_next_time(runs: Path, here: Path, cli: Cli) -> None:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        (run_id,) = database.execute(
            "SELECT run_uuid FROM tags WHERE key = 'outcome' AND value = 'complete' LIMIT 1"
        ).fetchone()
        database.execute("UPDATE tags SET value = 'interrupted' WHERE key = 'outcome' AND run_uuid = ?", [run_id])
    cli("import", runs, "--runs", here)
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        database.execute("UPDATE tags SET value = 'complete' WHERE key = 'outcome' AND run_uuid = ?", [run_id])

    again = cli("import", runs, "--runs", here)

    assert "imported: 1 run of tiny" in again.stdout
    assert board(here, "tiny") == board(runs, "tiny")


class TestATrialThatIsRunningThere:
    @pytest.fixture
    def run_id(self, runs: Path) -> str:
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
            query = "SELECT run_uuid FROM tags WHERE key = 'kind' AND value = 'trial' LIMIT 1"
            (run_id,) = database.execute(query).fetchone()
            database.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", [run_id])
        return str(run_id)

    @pytest.mark.usefixtures("run_id")
    def test_it_is_not_imported_while_it_is_trained(self, runs: Path, here: Path, cli: Cli) -> None:
        with SweepFolder(runs, "tiny").locked():
            result = cli("import", runs, "--runs", here)

        assert "still running: 1 run. Run the same command again after their end to import them." in result.stdout
        assert len(written(here)) == len(written(runs)) - 1

    def test_it_is_interrupted_if_its_driver_was_killed(self, run_id: str, runs: Path, here: Path, cli: Cli) -> None:
        for _ in range(2):
            assert cli("import", runs, "--runs", here).exit_code == 0

        (taken,) = [run for run in written(here) if run.tags[IMPORTED_FROM] == run_id]
        assert (taken.status, taken.tags["outcome"]) == ("KILLED", "interrupted")


def test_runs_that_changed_here_are_not_updated(runs: Path, here: Path, cli: Cli) -> None:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        query = "SELECT run_uuid FROM tags WHERE key = 'outcome' AND value = 'complete' LIMIT 1"
        (run_id,) = database.execute(query).fetchone()
        database.execute("UPDATE tags SET value = 'interrupted' WHERE key = 'outcome' AND run_uuid = ?", [run_id])
    cli("import", runs, "--runs", here)
    with contextlib.closing(sqlite3.connect(here / "mlflow.db")) as database, database:
        # Like a start here that trains it to its end.
        (own,) = database.execute("SELECT run_uuid FROM tags WHERE value = ?", [run_id]).fetchone()
        database.execute("UPDATE tags SET value = 'complete' WHERE key = 'outcome' AND run_uuid = ?", [own])
    before = board(here, "tiny")

    result = cli("import", runs, "--runs", here)

    assert "resumed here since the last import, not changed: 1 run" in result.stdout
    assert board(here, "tiny") == before


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b"])
def test_a_sweep_there_whose_name_leads_elsewhere_is_refused(name: str, runs: Path, here: Path, cli: Cli) -> None:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        database.execute("UPDATE tags SET value = ? WHERE key = 'sweep'", [name])

    result = cli("import", runs, "--runs", here)

    assert result.exit_code == 2
    assert "cannot be imported" in result.stderr
    assert not MlflowReader(here).runs().rows


def test_an_invalid_run_is_reported_and_not_imported(runs: Path, here: Path, cli: Cli) -> None:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        query = "SELECT run_uuid FROM tags WHERE key = 'trial' LIMIT 1"
        database.execute(f"DELETE FROM tags WHERE key = 'seed' AND run_uuid = ({query})")

    result = cli("import", runs, "--runs", here)

    assert result.exit_code == 0, result.output
    assert "not written by sweeps, skipped: 1 run" in result.stdout
    assert cli("leaderboard", "--runs", here).exit_code == 0


def test_another_prefix_than_last_time_is_refused(runs: Path, here: Path, cli: Cli) -> None:
    assert cli("import", runs, "--prefix", "ada-", "--runs", here).exit_code == 0

    for arguments in ((), ("--prefix", "bob-")):
        result = cli("import", runs, *arguments, "--runs", here)
        assert result.exit_code == 2
        assert "tiny was imported before as ada-tiny. Use --prefix ada-" in result.stderr


@pytest.mark.parametrize("line", [b"not JSON\n", b"[1]\n"])
def test_a_damaged_journal_is_an_error_before_anything_is_written(
    line: bytes, runs: Path, here: Path, cli: Cli
) -> None:
    journal = runs / "sweeps" / "tiny" / "journal.log"
    journal.write_bytes(line + journal.read_bytes())

    result = cli("import", runs, "--runs", here)

    assert result.exit_code == 2
    assert "journal.log" in result.stderr
    assert "`sweeps repair tiny --runs" in result.stderr
    assert not MlflowReader(here).runs().rows


def test_an_import_over_a_running_sweep_is_refused(runs: Path, here: Path, cli: Cli) -> None:
    with SweepFolder(here, "tiny").locked():
        result = cli("import", runs, "--runs", here)

    assert result.exit_code == 2
    assert "'tiny' is being run by process" in result.stderr
    assert not MlflowReader(here).runs().rows


class TestNameConflicts:
    @pytest.fixture
    def own(self, here: Path, tmp_path: Path, cli: Cli) -> Path:
        """A search with the same name here and one result in common."""
        path = write_yaml(tmp_path, OWN)
        assert cli("run", path, "--runs", here, "--backend", "inline").exit_code == 0
        return here

    def test_a_name_that_is_taken_is_refused_and_nothing_is_written(self, runs: Path, own: Path, cli: Cli) -> None:
        before = board(own, "tiny")

        result = cli("import", runs, "--runs", own)

        assert result.exit_code == 2
        assert "tiny is already recorded here" in result.stderr
        assert "--prefix ada-" in result.stderr
        assert board(own, "tiny") == before

    def test_with_a_prefix_both_sweeps_exist_and_one_result_counts_once(self, runs: Path, own: Path, cli: Cli) -> None:
        before = board(own, "tiny")

        result = cli("import", runs, "--prefix", "ada-", "--runs", own)

        assert result.exit_code == 0, result.output
        assert "already recorded here, counted once: 1 result" in result.stdout
        assert board(own, "tiny") == before
        assert len(written(own, sweep="ada-tiny")) == len(written(runs))
        (shared,) = {row["key"] for row in before} & {row["key"] for row in board(own, "ada-tiny")}
        (row,) = [row for row in query_leaderboard(MlflowReader(own)).rows if row["key"] == shared]
        assert row["rank"] is not None
        assert row["replicates"] == 1 or row["search_accuracy"] is not None
        names = {run.name for run in written(own, sweep="ada-tiny")}
        assert all(name.startswith("ada-tiny") for name in names), names
        for verb in (("status", "ada-tiny"), ("report", "ada-tiny"), ("doctor",)):
            shown = cli(*verb, "--runs", own)
            assert shown.exit_code == 0, shown.output

    def test_a_start_does_not_adopt_imported_runs(self, runs: Path, own: Path, tmp_path: Path, cli: Cli) -> None:
        cli("import", runs, "--prefix", "ada-", "--runs", own)
        taken = [run.run_id for run in written(own, sweep="ada-tiny")]

        path = write_yaml(tmp_path, OWN)
        assert cli("run", path, "--runs", own, "--backend", "inline").exit_code == 0

        assert [run.run_id for run in written(own, sweep="ada-tiny")] == taken


def test_an_imported_search_is_resumed_here(
    runs: Path, here: Path, whole_sweep: dict[str, Any], tmp_path: Path, cli: Cli
) -> None:
    cli("import", runs, "--runs", here)

    result = cli("run", write_yaml(tmp_path, whole_sweep), "--runs", here, "--backend", "inline")

    assert result.exit_code == 0, result.output
    assert "Nothing to train" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere is not a runs folder"),
        (("http://127.0.0.1:9",), "the record at http://127.0.0.1:9 cannot be used"),
        (("RUNS", "--sweep", "nope"), "there is no sweep nope in"),
        (("RUNS", "--prefix", "a/"), "--prefix 'a/'"),
        (("HERE",), "is the runs folder in use"),
    ],
)
def test_an_impossible_import_is_an_error_with_the_reason(
    arguments: tuple[str, ...], words: str, runs: Path, here: Path, cli: Cli
) -> None:
    paths = {"RUNS": str(runs), "HERE": str(here)}

    result = cli("import", *(paths.get(each, each) for each in arguments), "--runs", here)

    assert result.exit_code == 2
    assert words in result.stderr
    assert not MlflowReader(here).runs().rows


@pytest.fixture
def _a_page_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.record.client._PAGE", 2)


@pytest.mark.usefixtures("_a_page_of_two")
def test_a_record_read_through_mlflows_client_is_imported_completely(
    runs: Path, here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Like a server's: the tables are not read directly.
    monkeypatch.setattr("sweeps.record.sqlite_store.has_known_tables", lambda path: False)

    result = cli("import", runs, "--runs", here)

    assert result.exit_code == 0, result.output
    monkeypatch.undo()
    assert board(here, "tiny") == board(runs, "tiny")


def test_an_invalid_record_is_an_error(here: Path) -> None:
    with pytest.raises(SweepError, match="there is no record at"):
        RecordImport(f"sqlite:///{here}/nothing.db", runs=here)


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ("http://ada:se/cret@lab:5000/x", "http://lab:5000/x"),
        ("https://lab/x?token=secret", "https://lab/x"),
        ("postgresql://ada:secret@lab/runs", "postgresql://lab/runs"),
        ("sqlite:////home/ada@lab/runs/mlflow.db", "sqlite:////home/ada@lab/runs/mlflow.db"),
    ],
)
def test_an_address_is_printed_and_recorded_without_its_secrets(address: str, printed: str) -> None:
    assert redact(address) == printed


class TestOnASharedServer:
    """The original and its import in one record."""

    @pytest.fixture
    def both(self, runs: Path, here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
        cli("import", runs, "--runs", here)
        # Like on a server: the record here has no owner.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/mlflow.db")
        return runs, here

    def test_an_imported_sweep_has_another_owner(self, both: tuple[Path, Path]) -> None:
        there, here = (read_owners(folder, "tiny") for folder in both)

        assert len(here) == 1
        assert not here & there
        runs = [*written(both[1]), *written(both[1], kind="sweep")]
        assert {run.tags[OWNER] for run in runs} == here
        studies = take_inventory(SweepFolder(both[1], "tiny")).owners
        assert len(studies) == 2
        assert set(studies.values()) == here

    def test_rm_of_the_original_keeps_the_imported_runs(self, both: tuple[Path, Path], cli: Cli) -> None:
        original, here = both
        before = len(written(here))

        assert cli("rm", "tiny", "--yes", "--runs", original).exit_code == 0
        assert len(written(here)) == before > 0

        assert cli("rm", "tiny", "--yes", "--runs", here).exit_code == 0
        assert not written(here)

    def test_a_start_here_resumes_the_imported_runs(
        self, both: tuple[Path, Path], whole_sweep: dict[str, Any], tmp_path: Path, cli: Cli
    ) -> None:
        here = both[1]
        before = sorted(run.run_id for run in written(here))
        # Like a version without owners: the journal has none.
        journal = here / "sweeps" / "tiny" / "journal.log"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(line for line in lines if b'"owner"' not in line))

        result = cli("run", write_yaml(tmp_path, whole_sweep), "--runs", here, "--backend", "inline")

        assert result.exit_code == 0, result.output
        assert "Nothing to train" in result.stdout
        assert sorted(run.run_id for run in written(here)) == before
