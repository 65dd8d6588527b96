"""Making a damaged journal usable again."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.core.formatting import plural
from sweeps.store.folder import SweepFolder
from sweeps.store.journal import JournalFile, numbers_in_words
from sweeps.store.storage import read_storage


def repair_journal(folder: SweepFolder) -> Iterator[str]:
    """Take damaged lines from the last start's copy, cut what then is damaged still; yield what was done, in words.

    To be called under the folder's lock.
    """
    journal = JournalFile(folder.journal)
    journal.mend()
    restored = journal.restore()
    if restored:
        yield f"taken from the copy of the last start: {numbers_in_words(restored)}"
    damage = read_storage(journal)[1]
    if damage is not None and damage.line == 0:
        aside = journal.cut(damage)
        kept = "" if aside == journal.path else f"; what was there is {aside}"
        yield (
            f"{damage.reason}, and there is no copy of the last start: an empty one takes its place{kept}. The command "
            "that began the sweep begins it again, and takes what MLflow has recorded as complete from there"
        )
    elif damage is not None:
        aside = journal.cut(damage)
        yield (
            f"line {damage.line} was damaged ({damage.reason}): cut there, {plural(damage.line - 1, 'line')} of "
            f"{damage.lines} are kept; the damaged file is {aside}"
        )
    if damage is None and not restored:
        yield "its journal is not damaged"
