"""The live view fits screens of any size and shows the most important parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from sweeps.core.trial import Outcome
from sweeps.search.state import Measuring
from sweeps.views.live.drawing import draw
from sweeps.views.live.live_state import LiveState, LiveTrial

ENDS = [Outcome.COMPLETE, Outcome.PRUNED, Outcome.DIVERGED, Outcome.FAILED]


def trial(
    number: int = 0, *, outcome: Outcome = Outcome.RUNNING, curve: tuple[float | None, ...] = (0.25, 0.5)
) -> LiveTrial:
    return LiveTrial(
        name=f"trial {number}",
        outcome=outcome,
        settings="resnet, lr 0.0102, flip-crop",
        epochs_done=len(curve),
        epochs=7,
        curve=curve,
        seconds=75.0,
    )


def live_state(running: int = 2, ended: int = 3, **changes: object) -> LiveState:
    state = LiveState(
        title="quick",
        metric="val_accuracy",
        maximize=True,
        done=ended,
        target=20,
        slots=2,
        elapsed=192.0,
        seconds_left=240.0,
        limit=600.0,
        best=trial(1, outcome=Outcome.COMPLETE) if ended else None,
        running=tuple(trial(100 + number) for number in range(running)),
        ended=tuple(trial(50 - number, outcome=ENDS[number % 4]) for number in range(ended)),
    )
    return replace(state, **changes)  # type: ignore[arg-type]


def lines(state: LiveState, *, width: int = 80, height: int = 20, unicode: bool = True) -> list[str]:
    return draw(state, width=width, height=height, unicode=unicode).plain.split("\n")


def test_80_by_20_shows_budget_slots_best_time_left_and_trials() -> None:
    shown = live_state()
    first, second = (
        replace(each, epoch_progress=share) for each, share in zip(shown.running, (0.5, None), strict=True)
    )

    assert lines(replace(shown, running=(first, second))) == [
        "quick: 3 of 20 trials done, 2 of 2 slots busy, 3 min 12 s of 10 min,",
        "about 4 min 00 s left",
        "best val_accuracy 50.00 %: trial 1, resnet, lr 0.0102, flip-crop",
        "",
        "trial      epochs  epoch    val acc  curve    time/end     configuration",
        "trial 100  2/7     ━━━┄┄┄   50.00 %  ▁█       1 min 15 s   resnet, lr 0.0102, f…",
        "trial 101  2/7              50.00 %  ▁█       1 min 15 s   resnet, lr 0.0102, f…",
        "",
        "trial 50   2/7              50.00 %  ▁█       complete     resnet, lr 0.0102, f…",
        "trial 49   2/7              50.00 %  ▁█       pruned       resnet, lr 0.0102, f…",
        "trial 48   2/7              50.00 %  ▁█       diverged     resnet, lr 0.0102, f…",
    ]


@pytest.mark.parametrize("width", [40, 60, 78, 118])
def test_the_seed_and_the_name_of_a_rung_are_never_truncated(width: int) -> None:
    rung = replace(trial(1), name="augment-flip-erase", seed=12345, epoch_progress=0.9)

    ladder = replace(live_state(running=0, ended=0), is_ladder=True, running=(rung,))
    heading, line = lines(ladder, width=width)[-2:]

    assert heading.split()[:2] == ["rung", "seed"]
    assert line.split()[:2] == ["augment-flip-erase", "12345"]


def test_measuring_on_the_test_images_fills_idle_slots() -> None:
    header = " ".join(lines(live_state(running=0, measuring=Measuring(done=12, of=28), seconds_left=20.0))[:2])

    assert "evaluating on the test images: 12 of 28, 3 min 12 s of 10 min, about 20 s left" in header
    assert "slots" not in header


def test_before_the_first_trial_trials_are_reported_as_starting() -> None:
    assert (
        lines(live_state(running=0, ended=0))[0] == "quick: 0 of 20 trials done, starting trials, 3 min 12 s of 10 min,"
    )
    assert "20 of 20 trials done, 0 of 2 slots busy" in lines(live_state(running=0, done=20))[0]


@pytest.mark.parametrize("slots", [16, 64])
def test_hidden_slots_are_counted_and_the_last_ended_trials_stay_visible(slots: int) -> None:
    shown = lines(live_state(running=slots, ended=30))

    assert len(shown) <= 20
    hidden = [line for line in shown if line.startswith("and ")]
    visible = sum("1 min 15 s" in line for line in shown)
    assert hidden == [f"and {slots - visible} more"]
    assert sum("complete" in line or "pruned" in line or "diverged" in line for line in shown) >= 3


def test_curves_share_one_scale_and_values_not_finite_are_gaps() -> None:
    found = replace(
        live_state(running=0, ended=0),
        running=(trial(1, curve=(0.0, 0.5, 1.0)), trial(2, curve=(0.5, float("nan"), None))),
    )

    first, second = lines(found)[-2:]

    assert "▁▅█" in first
    assert "  ▅     " in second
    assert "nan" not in second


def test_without_unicode_everything_is_ascii() -> None:
    found = live_state(best=None)
    found = replace(found, running=(replace(found.running[0], settings="a" * 100),))

    assert "\n".join(lines(found, unicode=False)).isascii()


@pytest.mark.parametrize("ended", [0, 3])
def test_columns_do_not_move_while_trials_continue(ended: int) -> None:
    early = lines(replace(live_state(ended=ended), running=(trial(1, curve=()),)))
    late = lines(replace(live_state(ended=ended), running=(replace(trial(1, curve=(0.1,) * 7), epoch_progress=0.5),)))

    def columns(shown: list[str]) -> set[int]:
        return {line.index("resnet") for line in shown if line.startswith("trial ") and "resnet" in line}

    assert columns(early) == columns(late)
    headings = [next(line for line in shown if line.startswith("trial  ")) for shown in (early, late)]
    assert headings[0] == headings[1]


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
curves = st.lists(st.one_of(st.none(), st.floats()), max_size=12).map(tuple)


@st.composite
def trials(draw_: st.DrawFn, outcomes: list[Outcome]) -> LiveTrial:
    curve = draw_(curves)
    return LiveTrial(
        name=draw_(names),
        outcome=draw_(st.sampled_from(outcomes)),
        settings=draw_(st.text(st.characters(codec="utf-8"), max_size=60)),
        epochs_done=len(curve),
        epochs=draw_(st.integers(12, 10_000)),
        curve=curve,
        seconds=draw_(st.floats(0, 1e6)),
    )


@given(
    st.lists(trials([Outcome.RUNNING]), max_size=12),
    st.lists(trials(ENDS), max_size=12),
    names,
    st.integers(40, 200),
    st.integers(5, 60),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_the_view_is_never_wider_or_longer_than_its_window(
    running: list[LiveTrial], ended: list[LiveTrial], title: str, width: int, height: int, unicode: bool
) -> None:
    found = live_state(running=0, ended=0)
    found = replace(found, title=title, running=tuple(running), ended=tuple(ended), best=ended[0] if ended else None)

    shown = lines(found, width=width, height=height, unicode=unicode)

    assert len(shown) <= height
    assert max(map(cell_len, shown)) <= width
