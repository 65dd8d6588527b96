"""Notes and tags of persons on recorded runs.

A note is the description of the run in MLflow, so that text typed there and notes of `sweeps note` are the same. Text
is only added: no verb overwrites what a person wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sweeps.core.errors import SweepError
from sweeps.record.client import connect, store_errors
from sweeps.record.mapping import DESCRIPTION, LABELS, MAX_TAG, labels_of
from sweeps.record.store import store_uri

_LABEL = re.compile(r"[\w.:+-]{1,50}")


def add_note(
    runs: Path, run_id: str, *, text: str = "", labels: Sequence[str] = (), removed: Sequence[str] = ()
) -> dict[str, str]:
    """Add a note and tags to a recorded run, and return its tags in MLflow.

    Args:
        runs: The runs folder.
        run_id: Id of the run.
        text: Added below the present note; empty for none.
        labels: Tags to add.
        removed: Tags to remove.

    Raises:
        SweepError: A tag is not a word, the run has no such tag, or the note would be too long.
        RecordError: The record cannot be written.
    """
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise SweepError(
                f"{label!r} is not a valid tag. Use up to 50 letters, digits, '_', '-', '.', ':' and '+', such as "
                "suspicious."
            )
    uri = store_uri(runs)
    with store_errors(uri):
        client = connect(uri)
        before = dict(client.get_run(run_id).data.tags)
        present = labels_of(before)
        if missing := [label for label in removed if label not in present]:
            has = ", ".join(present) or "none"
            raise SweepError(f"the run has no tag {', '.join(missing)}. Its tags: {has}.")
        changed = {}
        if text.strip():
            # After everything else: the project's own part of a description stays in one piece.
            described = "\n\n".join(filter(None, (before.get(DESCRIPTION, "").rstrip(), text.strip())))
            if len(described) > MAX_TAG:
                raise SweepError(
                    f"the note would have {len(described):,} characters, and MLflow allows {MAX_TAG:,}. Shorten it."
                )
            changed[DESCRIPTION] = described
        kept = [label for label in dict.fromkeys([*present, *labels]) if label not in removed]
        if kept != present:
            changed[LABELS] = ", ".join(kept)
        for name, value in changed.items():
            client.set_tag(run_id, name, value)
    return before | changed
