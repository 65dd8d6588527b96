"""`sweeps import`: imports the record of another runs folder or of a tracking server.

From a runs folder journals, checkpoints and logs are copied too, so that its sweeps can be inspected, used for
predictions and resumed here.
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
from sweeps.record.record_import import ImportResult, RecordImport
from sweeps.record.store import uri_of_file
from sweeps.search.stored_trials import RECORDED_AS, WIDENS
from sweeps.store.access_log import import_accesses
from sweeps.store.folder import SweepFolder
from sweeps.upkeep.inventory import SweepInventory, take_inventory

_CREATES_A_STUDY = 0
"""Operation code in Optuna's journal for creating a study."""
_SETS_A_STUDY_ATTRIBUTE = 2
"""Operation code for setting a user attribute of a study."""


def import_record(
    source: str,
    *,
    runs: Path,
    prefix: str = "",
    only: Sequence[str] = (),
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> ImportResult:
    """Import another record: sweeps, runs, curves and artifacts. Repeated imports create no duplicates.

    Args:
        source: A runs folder, a folder that contains one, or the URI of a tracking server.
        runs: The runs folder here.
        prefix: Prefix for the names of the imported sweeps.
        only: Names of the sweeps; empty for all.
        on_run: Called after each trial with the number of processed and of all trials.

    Raises:
        SweepError: Nothing was imported: there is no record, or a sweep of the same name exists or is running here.
        RecordError: One of the records cannot be read, or the one here cannot be written. A repeated call continues.
    """
    runs = runs.resolve()
    folder = None if "://" in source else _runs_folder(Path(source))
    if folder == runs:
        raise SweepError(f"{source} is the runs folder in use. Name another one.")
    taken = RecordImport(source if folder is None else uri_of_file(folder / "mlflow.db"), runs=runs, prefix=prefix)
    names = taken.names(only, check=check_name)
    if not names:
        raise SweepError("there is no sweep to import: the record contains no trials")
    folders = {there: SweepFolder(runs, here, requested=LOCAL) for there, here in names.items()}
    with contextlib.ExitStack() as held:
        for here in folders.values():
            held.enter_context(here.locked(doing="imported"))
        found = [] if folder is None else [take_inventory(SweepFolder(folder, there)) for there in names]
        copies = [_Copy(sweep, folders[sweep.name], prefix=prefix) for sweep in found]
        ended = [sweep.name for sweep in found if sweep.driver is None]
        done = taken.run(names, ended=ended, on_run=on_run)
        for copy in copies:
            copy.run()
        if folder is not None:
            import_accesses(folder, runs=runs, names=names)
    return done


def _runs_folder(path: Path) -> Path:
    for folder in (path, path / "runs"):
        if (folder / "mlflow.db").is_file():
            return folder.resolve()
    raise SweepError(f"{path} is not a runs folder: neither it nor its folder runs contains mlflow.db")


class _Copy:
    """The copy of a sweep's folder, made while holding the lock of the sweep here."""

    def __init__(self, there: SweepInventory, here: SweepFolder, *, prefix: str) -> None:
        """Read the journal.

        Raises:
            SweepError: It is damaged or cannot be read.
        """
        self._there, self._here = there.folder, here
        with self._reading():
            content = self._there.journal.read_bytes() if self._there.journal.is_file() else b""
            if content and there.damage is not None:
                raise SweepError(f"{there.name} cannot be imported: {there.damage}")
            owner = owner_of_folder(here.runs, here.sweep)
            # The last line may be incomplete.
            lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
            self._journal = b"".join(
                _named(line, there=there.name, here=here.sweep, prefix=prefix, owner=owner) for line in lines
            )

    def run(self) -> None:
        """Copy new and changed files, the journal last; nothing if the sweep was resumed here."""
        there, here = self._there, self._here
        before = here.journal.read_bytes() if here.journal.is_file() else b""
        if not self._journal.startswith(before) or self._journal == before:
            return
        with self._reading():
            for folder, target in ((there.checkpoints, here.checkpoints), (there.logs, here.logs)):
                for file in sorted(folder.rglob("*")):
                    # A driver there may delete files; a link may lead anywhere.
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
    """Return a line of the journal with the names of study and logs, and the owner id, that they have here."""
    entry = json.loads(line)
    attribute = entry.get("user_attr")
    if entry.get("op_code") == _SETS_A_STUDY_ATTRIBUTE and isinstance(attribute, dict) and OWNER in attribute:
        return json.dumps(entry | {"user_attr": {OWNER: owner}}).encode() + b"\n"
    if not prefix:
        return line
    if entry.get("op_code") == _SETS_A_STUDY_ATTRIBUTE and isinstance(attribute, dict):
        renamed = {name: f"{prefix}{attribute[name]}" for name in (WIDENS, RECORDED_AS) if name in attribute}
        return json.dumps(entry | {"user_attr": renamed}).encode() + b"\n" if renamed else line
    if entry.get("op_code") == _CREATES_A_STUDY:
        return json.dumps(entry | {"study_name": f"{prefix}{entry['study_name']}"}).encode() + b"\n"
    return line.replace(f'"sweeps/{there}/logs/'.encode(), f'"sweeps/{here}/logs/'.encode())
