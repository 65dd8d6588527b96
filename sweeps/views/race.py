"""What the race of a search has shown, for every screen."""

from __future__ import annotations

from sweeps.analysis.race import race_of
from sweeps.search.state import SweepState


def race_sentences(state: SweepState) -> str | None:
    """Return what the race of a search has shown; None without a race."""
    if state.race is None:
        return None
    race = race_of(state.records, state.replicates, state=state.race, metric=state.metric, maximize=state.maximize)
    return race.sentences(is_running=state.driver is not None)
