"""Another runs folder, or a tracking server, taken over: its record, and where it is a folder what lies beside that.

Of a folder each sweep's journal, checkpoints and logs are copied too, so that it can be looked at, reported, predicted
with, and gone on with, as where it came from.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cifar_core.common.files import atomic_write
from sweeps.core.errors import DiskFullError, SweepError, is_disk_full
from sweeps.core.storages import LOCAL
from sweeps.files.settings import check_name
from sweeps.record.ownership import OWNER, owner_of_folder
from sweeps.record.store import uri_of_file
from sweeps.record.taking_over import TakenOver, TakeOver
from sweeps.store.access_log import import_accesses
from sweeps.store.folder import SweepFolder
from sweeps.upkeep.inventory import SweepInventory, take_inventory

_CREATES_A_STUDY = 0
"""The operation of Optuna's journal that names a study."""
_NOTES_ON_A_STUDY = 2
"""The one that sets an attribute of a study."""


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
        on_run: hears after each trial how many of how many are done.

    Raises:
        SweepError: nothing was taken over: there is no record, a sweep of one name is here already, or is being run
            here.
        RecordError: one of the records cannot be read, or the one here not written; the same command goes on.
    """
    runs = runs.resolve()
    folder = None if "://" in source else _runs_folder(Path(source))
    if folder == runs:
        raise SweepError(f"{source} is the runs folder in use here: name another one")
    taken = TakeOver(source if folder is None else uri_of_file(folder / "mlflow.db"), runs=runs, prefix=prefix)
    names = taken.names(only, check=check_name)
    if not names:
        raise SweepError("there is no sweep to take over: the record holds no trial")
    folders = {there: SweepFolder(runs, here, requested=LOCAL) for there, here in names.items()}
    with contextlib.ExitStack() as held:
        for here in folders.values():
            held.enter_context(here.locked(doing="imported"))
        found = [] if folder is None else [take_inventory(SweepFolder(folder, there)) for there in names]
        copies = [_Copy(sweep, folders[sweep.name], prefix=prefix) for sweep in found]
        ended = [sweep.name for sweep in found if sweep.driver is None]
        done = taken.carry_out(names, ended=ended, on_run=on_run)
        for copy in copies:
            copy.carry_out()
        if folder is not None:
            import_accesses(folder, runs=runs, names=names)
    return done


def _runs_folder(path: Path) -> Path:
    for folder in (path, path / "runs"):
        if (folder / "mlflow.db").is_file():
            return folder.resolve()
    raise SweepError(f"{path} is no runs folder: there is no mlflow.db in it, nor in a folder runs of it")


class _Copy:
    """What lies beside a record of one sweep, to be copied under the lock of the sweep here."""

    def __init__(self, there: SweepInventory, here: SweepFolder, *, prefix: str) -> None:
        """Read the journal, and nothing else.

        Raises:
            SweepError: it is damaged; says what mends it.
        """
        self._there, self._here = there.folder, here
        with self._reading():
            content = self._there.journal.read_bytes() if self._there.journal.is_file() else b""
            if content and there.damage is not None:
                raise SweepError(f"{there.name} cannot be taken over: {there.damage}")
            owner = owner_of_folder(here.runs, here.sweep)
            # The last line may be being written just now.
            lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
            self._journal = b"".join(
                _named(line, there=there.name, here=here.sweep, prefix=prefix, owner=owner) for line in lines
            )

    def carry_out(self) -> None:
        """Copy what is not here, the journal last; nothing where the sweep has gone on here."""
        there, here = self._there, self._here
        before = here.journal.read_bytes() if here.journal.is_file() else b""
        if not self._journal.startswith(before) or self._journal == before:
            return
        with self._reading():
            for folder, target in ((there.checkpoints, here.checkpoints), (there.logs, here.logs)):
                for file in sorted(folder.rglob("*")):
                    # A driver there may tidy up meanwhile; a link may lead anywhere.
                    with contextlib.suppress(FileNotFoundError):
                        if file.is_file() and not file.is_symlink():
                            _copy_file(file, target / file.relative_to(folder))
            with atomic_write(here.journal) as out:
                out.write(self._journal)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise DiskFullError(self._here.path) from None
            raise SweepError(f"{self._there.path} cannot be copied: {error.strerror} ({error.filename})") from None


def _copy_file(file: Path, to: Path) -> None:
    if to.is_file() and to.stat().st_mtime >= file.stat().st_mtime:
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as content, atomic_write(to) as out:
        shutil.copyfileobj(content, out)


def _named(line: bytes, *, there: str, here: str, prefix: str, owner: str) -> bytes:
    """Return a journal's line with the names that its study and its logs have here, and the study's id here."""
    entry = json.loads(line)
    noted = entry.get("user_attr")
    if entry.get("op_code") == _NOTES_ON_A_STUDY and isinstance(noted, dict) and OWNER in noted:
        return json.dumps(entry | {"user_attr": {OWNER: owner}}).encode() + b"\n"
    if not prefix:
        return line
    if entry.get("op_code") == _CREATES_A_STUDY:
        return json.dumps(entry | {"study_name": f"{prefix}{entry['study_name']}"}).encode() + b"\n"
    return line.replace(f'"sweeps/{there}/logs/'.encode(), f'"sweeps/{here}/logs/'.encode())
