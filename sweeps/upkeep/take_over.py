"""Another runs folder, or a tracking server, taken over: its record, and where it is a folder what lies beside that.

Of a folder each sweep's journal, checkpoints and logs are copied too, so that it can be looked at, reported, predicted
with, and gone on with, as where it came from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from cifar_core.files import atomic_write
from sweeps.errors import SweepError
from sweeps.study import SweepFolder
from sweeps.tracking import TakenOver, TakeOver

_CREATES_A_STUDY = 0
"""The operation of Optuna's journal that names a study."""


def import_record(
    source: str,
    *,
    runs: Path,
    prefix: str = "",
    only: Sequence[str] = (),
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> TakenOver:
    """Take another record over: sweeps, runs, curves, artifacts, once, however often it is asked for.

    Args:
        source: a runs folder, or a folder with one in it; or the address of a tracking server.
        runs: the runs folder here.
        prefix: put in front of each sweep's name.
        only: these sweeps; all where empty.
        on_run: hears after each run how many of how many are done.

    Raises:
        SweepError: nothing was taken over: there is no record, or a sweep of one name is here already.
        RecordError: one of the records cannot be read, or the one here not written; the same command goes on.
    """
    folder = None if "://" in source else _runs_folder(Path(source))
    taken = TakeOver(source if folder is None else f"sqlite:///{folder / 'mlflow.db'}", runs=runs, prefix=prefix)
    names = taken.names(only)
    if not names:
        raise SweepError(f"{source} holds no sweep: there is nothing to take over")
    done = taken.carry_out(names, on_run=on_run)
    if folder is not None:
        for there, here in names.items():
            _copy(SweepFolder(folder, there), SweepFolder(runs.resolve(), here), prefix=prefix)
    return done


def _runs_folder(path: Path) -> Path:
    for folder in (path, path / "runs"):
        if (folder / "mlflow.db").is_file():
            return folder.resolve()
    raise SweepError(f"{path} is no runs folder: there is no mlflow.db in it, nor in a folder runs of it")


def _copy(there: SweepFolder, here: SweepFolder, *, prefix: str) -> None:
    """Copy what a sweep's folder holds and this one lacks, the journal last: without it the rest is nobody's."""
    if not there.journal.is_file():
        return
    journal = _named(_whole_lines(there.journal.read_bytes()), prefix=prefix)
    before = here.journal.read_bytes() if here.journal.is_file() else b""
    if not journal.startswith(before):
        return  # it has gone on here
    with here.locked(doing="imported"):
        for folder, target in ((there.checkpoints, here.checkpoints), (there.logs, here.logs)):
            for file in sorted(folder.rglob("*")):
                copied = target / file.relative_to(folder)
                if file.is_file() and not (copied.is_file() and copied.stat().st_mtime >= file.stat().st_mtime):
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    with atomic_write(copied) as out, file.open("rb") as content:
                        shutil.copyfileobj(content, out)
        with atomic_write(here.journal) as out:
            out.write(journal)


def _whole_lines(content: bytes) -> bytes:
    """Return a journal without a line that is being written just now."""
    return content[: content.rfind(b"\n") + 1]


def _named(journal: bytes, *, prefix: str) -> bytes:
    """Return a journal whose studies have the names that the record here knows them by."""
    if not prefix:
        return journal
    lines = []
    for line in journal.splitlines(keepends=True):
        entry = json.loads(line)
        if entry.get("op_code") == _CREATES_A_STUDY:
            line = json.dumps(entry | {"study_name": f"{prefix}{entry['study_name']}"}).encode() + b"\n"
        lines.append(line)
    return b"".join(lines)
