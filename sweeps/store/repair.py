"""Repair of a damaged journal."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.core.formatting import plural
from sweeps.store.folder import SweepFolder
from sweeps.store.journal import JournalFile, format_line_numbers
from sweeps.store.storage import read_storage


def repair_journal(folder: SweepFolder) -> Iterator[str]:
    """Restore damaged lines from the backup, cut the journal at the first line that is still damaged; yield messages.

    Call it while holding the folder's lock.
    """
    journal = JournalFile(folder.journal)
    journal.cut_torn_end()
    restored = journal.restore()
    if restored:
        yield f"restored from the backup of the last start: {format_line_numbers(restored)}"
    damage = read_storage(journal)[1]
    if damage is not None and damage.line == 0:
        aside = journal.cut(damage)
        kept = "" if aside == journal.path else f" The damaged file is {aside}."
        yield (
            f"its journal was damaged ({damage.reason}) and has no backup: it was replaced by an empty one.{kept} Run "
            "the same command again to restart the sweep. Complete runs in MLflow are not trained again."
        )
    elif damage is not None:
        aside = journal.cut(damage)
        yield (
            f"line {damage.line} was damaged ({damage.reason}): kept the {plural(damage.line - 1, 'line')} before it "
            f"of {damage.lines}. The damaged file is {aside}."
        )
    if damage is None and not restored:
        yield "its journal is not damaged"
