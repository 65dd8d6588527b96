"""Unreferenced files are counted and freed to the byte, and no others."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import Cli, book, fill_disk, snapshot, written

from cifar_core.common.files import atomic_write
from sweeps.core.errors import SweepError
from sweeps.core.formatting import bytes_in_words
from sweeps.core.trial import Outcome
from sweeps.search.state import read_state
from sweeps.upkeep import garbage
from sweeps.upkeep.garbage import MIN_AGE_SECONDS, Kind, find_garbage, free, total

HOUR = 3600.0


def sizes(runs: Path) -> int:
    """Return the bytes of all files in a folder, each file once."""
    found = {}
    for path in runs.rglob("*"):
        if path.is_file() and not path.is_symlink():
            about = path.stat()
            found[about.st_dev, about.st_ino] = about.st_size
    return sum(found.values())


def complete_weights(runs: Path) -> list[Path]:
    state = read_state(runs, "tiny")
    keys = {r.key for r in state.records_and_replicates if r.outcome is Outcome.COMPLETE}
    return [runs / "sweeps" / "tiny" / "checkpoints" / key / "state.pt" for key in sorted(keys)]


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def clutter(runs: Path) -> dict[Kind, list[Path]]:
    """Create garbage of each kind; return it."""
    tiny = runs / "sweeps" / "tiny"
    weights = complete_weights(runs)[0]
    orphan = tiny / "checkpoints" / "0123456789abcdef"
    shutil.copytree(weights.parent, orphan)
    (orphan / "state.previous.pt").hardlink_to(orphan / "state.pt")
    copy = weights.with_name("state.previous.pt")
    shutil.copy(weights, copy)
    half = [tiny / ".journal.log.crc.ab_12xyz", weights.with_name(".state.pt.ab_12xyz"), runs / ".report.html.ab_12xyz"]
    for path, seconds in zip(half, (HOUR, HOUR, 30 * HOUR), strict=True):
        path.write_bytes(b"half" * 1000)
        age(path, seconds)
    rerun = runs / "reruns" / "0123456789abcdef-12345678"
    rerun.mkdir(parents=True)
    (rerun / "state.pt").write_bytes(b"x" * 5000)
    (rerun / "rerun.lock").touch()
    deleted = written(runs)[0].run_id
    artifact = runs / "artifacts" / deleted / "artifacts" / "test_correct.npy"
    artifact.parent.mkdir(parents=True, exist_ok=True)
    artifact.write_bytes(b"y" * 7000)
    with sqlite3.connect(runs / "mlflow.db") as database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", [deleted])
        ballast = [(deleted, "train_loss", 0.5, 1000 + step, step, False) for step in range(20_000)]
        columns = "(run_uuid, key, value, timestamp, step, is_nan)"
        database.executemany(f"INSERT INTO metrics {columns} VALUES (?, ?, ?, ?, ?, ?)", ballast)
    database.close()
    return {
        Kind.ORPHAN: [orphan],
        Kind.SECOND_COPY: [copy],
        Kind.LEFT_OVER: half,
        Kind.RERUN: [rerun],
        Kind.DELETED_RUN: [runs / "artifacts" / deleted],
    }


def test_in_a_folder_where_everything_is_needed_there_is_nothing_to_free(runs: Path, cli: Cli) -> None:
    for copy in runs.rglob("state.previous.pt"):
        copy.unlink()
    before = snapshot(runs)

    said = cli("gc", "--runs", runs)

    assert (said.exit_code, said.stdout) == (0, "nothing to delete\n")
    assert snapshot(runs) == before


def test_all_is_freed_to_the_byte_with_rows_of_deleted_runs(runs: Path, cli: Cli) -> None:
    gone = clutter(runs)
    kept = complete_weights(runs)
    before, runs_before = sizes(runs), written(runs)
    size = (runs / "mlflow.db").stat().st_size
    found = find_garbage(runs)
    assert {each.kind for each in found.found} == set(Kind)

    said = cli("gc", "--runs", runs, answer="y\n")

    assert said.exit_code == 0, said.output
    assert f"in total {bytes_in_words(total(found.found))} ({total(found.found):,} bytes)" in said.stdout
    assert f"({before - sizes(runs):,} bytes)" in said.stdout.splitlines()[-1]
    (rows,) = (each for each in found.found if each.run_ids)
    smaller = size - (runs / "mlflow.db").stat().st_size
    assert smaller > 1_000_000, "of the rows it is not said before how many bytes they take"
    assert before - sizes(runs) == total(found.found) - rows.bytes + smaller
    assert not [path for paths in gone.values() for path in paths if path.exists()]
    assert all(path.exists() for path in kept)
    assert written(runs) == runs_before
    assert cli("gc", "--runs", runs).stdout == "nothing to delete\n"
    assert cli("doctor", "--runs", runs).stdout.count("problem") == 1, "the deleted run, which the journal still holds"


@pytest.mark.parametrize(("options", "answer", "code"), [(["--dry-run"], None, 0), ([], "n\n", 1)])
def test_without_confirmation_nothing_changes(
    options: list[str], answer: str | None, code: int, runs: Path, cli: Cli
) -> None:
    clutter(runs)
    before = snapshot(runs)

    said = cli("gc", "--runs", runs, *options, answer=answer)

    assert said.exit_code == code
    assert "in total" in said.stdout
    assert snapshot(runs) == before | {"sweeps/tiny/driver.lock": b""}


def test_yes_skips_the_confirmation(runs: Path, cli: Cli) -> None:
    clutter(runs)

    said = cli("gc", "--runs", runs, "--yes")

    assert "?" not in said.stdout
    assert "freed" in said.stdout


def test_after_an_interruption_the_next_call_continues(runs: Path, tmp_path: Path, cli: Cli) -> None:
    clutter(runs)
    found = find_garbage(runs).found
    for count in range(1, len(found)):
        copy = tmp_path / f"copy-{count}"
        shutil.copytree(runs, copy)
        here = find_garbage(copy).found
        # Also in the middle of a folder.
        for each in here[:count]:
            free(each, runs=copy)
        if here[count].path.is_dir():
            next(path for path in here[count].path.rglob("*") if path.is_file()).unlink()

        assert cli("gc", "--runs", copy, "--yes").exit_code == 0

        assert cli("gc", "--runs", copy).stdout == "nothing to delete\n"
        assert all(path.exists() for path in complete_weights(copy))


def test_deleted_rows_are_compacted_at_the_next_call(runs: Path, cli: Cli) -> None:
    clutter(runs)
    with sqlite3.connect(runs / "mlflow.db") as database:
        deleted = "(SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted')"
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.execute(f"DELETE FROM {table} WHERE run_uuid IN {deleted}")
    database.close()
    before = (runs / "mlflow.db").stat().st_size

    cli("gc", "--runs", runs, "--yes")

    assert (runs / "mlflow.db").stat().st_size < before - 1_000_000


def test_a_running_sweep_is_skipped_and_reported(runs: Path, cli: Cli) -> None:
    gone = clutter(runs)
    hold = f"""
from pathlib import Path
from sweeps.store.folder import SweepFolder
with SweepFolder(Path({str(runs)!r}), "tiny").locked():
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        before = snapshot(runs / "sweeps"), snapshot(runs / "artifacts"), (runs / "mlflow.db").read_bytes()
        said = cli("gc", "--runs", runs, "--yes")
        assert (
            snapshot(runs / "sweeps"),
            snapshot(runs / "artifacts"),
            (runs / "mlflow.db").read_bytes(),
        ) == before
        driver.communicate("\n")

    assert f"skipped: tiny is being run by process {driver.pid}" in said.stdout
    assert not gone[Kind.RERUN][0].exists(), "what belongs to no sweep goes all the same"


def test_nothing_that_a_link_leads_to_is_touched(runs: Path, tmp_path: Path, cli: Cli) -> None:
    gone = clutter(runs)
    outside = tmp_path / "outside"
    for name, path in (("orphan", gone[Kind.ORPHAN][0]), ("rerun", gone[Kind.RERUN][0])):
        shutil.move(path, outside / name)
        path.symlink_to(outside / name)
    shutil.move(runs / "artifacts", outside / "artifacts")
    (runs / "artifacts").symlink_to(outside / "artifacts")
    book(runs, name="other").open()
    (outside / "checkpoints" / "fedcba9876543210").mkdir(parents=True)
    (outside / "checkpoints" / "fedcba9876543210" / "state.pt").write_bytes(b"z")
    (runs / "sweeps" / "other" / "checkpoints").symlink_to(outside / "checkpoints")
    before = snapshot(outside)
    assert len(before) > 4

    assert cli("gc", "--runs", runs, "--yes").exit_code == 0

    assert snapshot(outside) == before


def test_a_folder_that_became_a_link_is_not_deleted(runs: Path, tmp_path: Path) -> None:
    orphan = clutter(runs)[Kind.ORPHAN][0]
    (found,) = (each for each in find_garbage(runs).found if each.kind is Kind.ORPHAN)
    shutil.move(orphan, tmp_path / "outside")
    orphan.symlink_to(tmp_path / "outside")

    with pytest.raises(SweepError, match="is now outside"):
        free(found, runs=runs)

    assert (tmp_path / "outside" / "state.pt").exists()


def test_the_second_copy_of_damaged_weights_stays(runs: Path, cli: Cli) -> None:
    (copy,) = clutter(runs)[Kind.SECOND_COPY]
    weights = copy.with_name("state.pt")
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)

    cli("gc", "--runs", runs, "--yes")

    assert copy.exists()
    assert weights.read_bytes() == content


def test_the_checkpoint_of_an_interrupted_trial_and_its_second_copy_stay(runs: Path, cli: Cli) -> None:
    ledger = book(runs, name="open").open()
    trial = ledger.next_trial()
    folder = runs / "sweeps" / "open" / "checkpoints" / trial.key  # type: ignore[union-attr]
    shutil.copytree(complete_weights(runs)[0].parent, folder)
    shutil.copy(folder / "state.pt", folder / "state.previous.pt")
    before = snapshot(folder)

    cli("gc", "--runs", runs, "--yes")

    assert snapshot(folder) == before


def test_without_the_record_no_checkpoint_is_deleted(runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = clutter(runs)[Kind.ORPHAN][0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    said = cli("gc", "--runs", runs, "--yes")

    assert "all checkpoints, because" in said.stdout
    assert orphan.exists()


def test_a_scratch_folder_in_use_is_kept(runs: Path, cli: Cli) -> None:
    scratch = runs / "reruns" / "0123456789abcdef-12345678"
    scratch.mkdir(parents=True)
    (scratch / "state.pt").write_bytes(b"x" * 5000)
    lock = f"lock = filelock.FileLock({str(scratch / 'rerun.lock')!r})"
    hold = f"import filelock; {lock}; lock.acquire(); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as training:
        assert training.stdout is not None
        training.stdout.readline()
        said = cli("gc", "--runs", runs, "--yes")
        assert said.exit_code == 0
        assert Kind.RERUN.value not in said.stdout
        assert (scratch / "state.pt").exists()
        training.communicate("\n")

    cli("gc", "--runs", runs, "--yes")
    assert not scratch.exists()


def test_other_files_next_to_the_checkpoints_are_kept(runs: Path, cli: Cli) -> None:
    weights = complete_weights(runs)[0].parent
    checkpoints = weights.parent
    kept = [checkpoints / "best-of-may", checkpoints / f"{weights.name} (copy)", checkpoints / "00112233445566aa"]
    for folder in kept:
        shutil.copytree(weights, folder)
    (kept[2] / "notes.txt").write_text("what I found", encoding="utf-8")

    assert cli("gc", "--runs", runs, "--yes").exit_code == 0

    assert all((folder / "state.pt").exists() for folder in kept)


def test_rows_are_kept_if_their_artifacts_cannot_be_deleted(
    runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = clutter(runs)[Kind.DELETED_RUN][0]
    rmtree = shutil.rmtree

    def fail(path: Path, *args: object, **kwargs: object) -> None:
        if Path(path) == gone:
            raise PermissionError(13, "Permission denied")
        rmtree(path, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", fail)
        said = cli("gc", "--runs", runs, "--yes")

    assert said.exit_code == 2
    assert "the rows of deleted runs were kept" in said.stderr
    assert cli("gc", "--runs", runs, "--yes").exit_code == 0
    assert not gone.exists()


class TestIncompleteFiles:
    def test_a_killed_writers_file_is_found_after_a_minimum_age(self, runs: Path) -> None:
        code = f"""
import os, signal
from pathlib import Path
from cifar_core.common.files import atomic_write
with atomic_write(Path({str(runs / "sweeps" / "tiny" / "journal.log.backup")!r})) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
        subprocess.run([sys.executable, "-c", code], check=False)
        (left,) = (runs / "sweeps" / "tiny").glob(".journal.log.backup.*")
        assert [each for each in find_garbage(runs).found if each.kind is Kind.LEFT_OVER] == []

        age(left, MIN_AGE_SECONDS + 1)

        assert [each.path for each in find_garbage(runs).found if each.kind is Kind.LEFT_OVER] == [left]

    @given(name=st.sampled_from(["journal.log", "journal.log.crc", "driver.json"]))
    def test_every_name_that_is_written_to_first_is_known(self, name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder).resolve() / "sweeps" / "a" / name
            path.parent.mkdir(parents=True)
            book(Path(folder), name="a").study()
            with atomic_write(path):
                (writing,) = path.parent.glob(f".{name}.*")
                age(writing, HOUR)
                found = [each.path for each in find_garbage(Path(folder)).found]
            assert found == [writing]

    @pytest.mark.parametrize(
        "name", [".gitignore", ".state.pt", "state.pt.ab_12xyz", ".notes.txt.ab_12xyz", ".a.csv.ABCDEFGH"]
    )
    def test_a_users_own_hidden_files_stay(self, name: str, runs: Path) -> None:
        for folder in (runs, runs / "sweeps" / "tiny"):
            (folder / name).touch()
            age(folder / name, 1000 * HOUR)

        assert [each for each in find_garbage(runs).found if each.kind is Kind.LEFT_OVER] == []


Tree = dict[str, "bytes | Tree"]
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=50), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), st.one_of(st.binary(max_size=50), inner), max_size=3),
    max_leaves=6,
)


def plant(tree: Tree, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, dict):
            yield from plant(content, folder / name)
        else:
            (folder / name).write_bytes(content)
            yield folder / name


@settings(max_examples=60, deadline=None)
@given(tree=TREES, data=st.data())
def test_the_bytes_of_a_folder_are_those_that_its_deletion_frees(tree: Tree, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name).resolve()
        files = list(plant(tree, path / "inside"))
        (path / "outside").mkdir()
        for number, file in enumerate(files):
            match data.draw(st.sampled_from(["alone", "twice inside", "also outside", "linked"])):
                case "twice inside":
                    (path / "inside" / f"twin-{number}").hardlink_to(file)
                case "also outside":
                    (path / "outside" / f"twin-{number}").hardlink_to(file)
                case "linked":
                    (path / "outside" / f"big-{number}").write_bytes(b"x" * 100)
                    (path / "inside" / f"link-{number}").symlink_to(path / "outside" / f"big-{number}")
        before, told = sizes(path), garbage.bytes_of(path / "inside")

        shutil.rmtree(path / "inside")

        assert before - sizes(path) == told


def test_a_deleted_sweeps_model_goes_with_it_and_others_stay(runs: Path, cli: Cli) -> None:
    models = runs / "artifacts" / "models"
    (own,) = models.iterdir()
    shutil.copytree(own, models / "m-of-another-sweep")
    assert cli("rm", "tiny", "--yes", "--runs", runs).exit_code == 0
    assert own.is_dir()

    assert cli("gc", "--runs", runs, "--yes").exit_code == 0

    assert [folder.name for folder in models.iterdir()] == ["m-of-another-sweep"]
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        for table in ("logged_models", "inputs", "input_tags"):
            assert (table, *database.execute(f"SELECT count(*) FROM {table}").fetchone()) == (table, 0)


def test_rm_frees_space_on_a_full_disk(runs: Path, small_disk: Path, cli: Cli) -> None:
    full = Path(shutil.copytree(runs, small_disk / "runs"))
    fill_disk(small_disk)

    said = cli("rm", "tiny", "--yes", "--runs", full)

    assert said.exit_code == 0, said.output
    assert not (full / "sweeps" / "tiny").exists()
    assert shutil.disk_usage(full).free > 0
    assert written(full) == []
