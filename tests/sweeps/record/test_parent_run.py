"""The description of a sweep in MLflow, and a user's note in it."""

from __future__ import annotations

from pathlib import Path

from test_tracker import tracker_of

from sweeps.record.mapping import DESCRIBED, DESCRIPTION, MAX_TAG
from sweeps.record.parent_run import WINNER, description_tags
from sweeps.record.stores import open_store


def test_our_description_is_replaced_and_a_users_note_is_kept() -> None:
    first = description_tags({}, "first")
    edited = first | {DESCRIPTION: f"my note\n\n{first[DESCRIPTION]}\n\nand more"}

    second = description_tags(edited, "second")

    assert second == {DESCRIPTION: "my note\n\nsecond\n\nand more", DESCRIBED: "second"}


def test_our_description_is_added_below_a_users_note() -> None:
    assert description_tags({DESCRIBED: "first", DESCRIPTION: "mine"}, "second")[DESCRIPTION] == "mine\n\nsecond"
    assert description_tags({DESCRIPTION: "mine"}, "second")[DESCRIPTION] == "mine\n\nsecond"


def test_a_note_that_fills_the_tag_is_left_alone() -> None:
    long = "x" * (MAX_TAG - 300)

    assert description_tags({DESCRIPTION: "x" * MAX_TAG}, "second") == {}
    assert len(description_tags({DESCRIPTION: long}, "second" * 100)[DESCRIPTION]) <= MAX_TAG


def test_a_start_and_an_end_keep_a_users_note(recorded_runs: Path) -> None:
    with tracker_of(recorded_runs, "tiny") as tracker:
        client, run_id = tracker._client, tracker._parent.run_id
    note = client.get_run(run_id).data.tags.get(DESCRIPTION, "")
    client.set_tag(run_id, DESCRIPTION, f"{note}\n\nlook at this again")

    tracker_of(recorded_runs, "tiny").close(description=f"{WINNER}x\n\nended")

    (run,) = open_store(recorded_runs).runs({"kind": "sweep", "sweep": "tiny"})
    assert "look at this again" in run.tags[DESCRIPTION]
    assert "ended" in run.tags[DESCRIPTION]
