"""Train two configurations under shared seeds, one seed after the other, until a question about them is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna

from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.parameter import Assignment
from sweeps.search.best import as_compared, final_value
from sweeps.search.proposers import Candidate, Proposal

_MOST_WITHOUT_VALUE = 3
"""Seeds without a value that end the training, if they are more than half of all."""


class PairedSeeds:
    """Proposes both configurations under each seed, and is the gate that closes when the question is answered.

    What counts are the seeds whose two runs have ended, up to the first seed of which one has not. So the answer does
    not depend on the number of slots, on their speed, or on interruptions.
    """

    searches = False

    def __init__(
        self,
        pair: tuple[Candidate, Candidate],
        *,
        seeds: Sequence[int],
        metric: str,
        is_answered: Callable[[Sequence[tuple[float, float]]], bool],
    ) -> None:
        """Create it without any run.

        Args:
            pair: The two configurations, under any seed.
            seeds: The seeds, in the order of their training.
            metric: Metric that is compared: on the confirmation part, else after the last epoch.
            is_answered: Returns whether the values under the first seeds answer the question.
        """
        self._pair, self._seeds, self._metric, self._is_answered = pair, seeds, metric, is_answered
        names = [candidate.rung.name for candidate in pair if candidate.rung is not None]
        assert len(set(names)) == len(pair), "the records of the two are distinguished by their rungs"
        self._names = names
        self._records: dict[tuple[str, int], TrialRecord] = {}
        self._over: bool | None = None
        """None if it is unknown since the last change."""

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        for seed in self._seeds:
            for candidate, name in zip(self._pair, self._names, strict=True):
                if (name, seed) not in self._records:
                    config = candidate.config.model_copy(update={"seed": seed})
                    return Proposal(trial=study.ask(), config=config, rung=candidate.rung)
        return None

    def total(self) -> int | None:
        return None  # the answer decides

    def concerns(self, key: str) -> bool:
        return True  # the study contains one question

    @property
    def ended(self) -> list[tuple[TrialRecord, TrialRecord]]:
        """The two runs of each of the first seeds that have ended."""
        found = []
        for seed in self._seeds:
            first, second = (self._records.get((name, seed)) for name in self._names)
            if first is None or second is None or not (first.outcome.is_final and second.outcome.is_final):
                break
            found.append((first, second))
        return found

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """The values under each of these seeds; one at which a run diverged or failed is left out."""
        values = [tuple(self._value(record) for record in both) for both in self.ended]
        return [(first, second) for first, second in values if first is not None and second is not None]

    def _value(self, record: TrialRecord) -> float | None:
        return final_value(as_compared(record), self._metric) if record.outcome is Outcome.COMPLETE else None

    @property
    def is_over(self) -> bool:
        """Whether the question is answered, or its seeds are used up, or most runs have no value."""
        if self._over is None:
            seen, pairs = len(self.ended), self.pairs
            lost = seen - len(pairs)
            is_hopeless = lost >= _MOST_WITHOUT_VALUE and 2 * lost > seen
            self._over = seen == len(self._seeds) or is_hopeless or self._is_answered(pairs)
        return self._over

    def enter(self, record: TrialRecord) -> None:
        assert record.rung is not None
        before = self._records.get((record.rung.name, record.config.seed))
        self._records[record.rung.name, record.config.seed] = record
        if record.outcome.is_final or (before is not None and before.outcome.is_final):
            self._over = None

    def may_begin(self) -> bool:
        return not self.is_over

    def may_continue(self, record: TrialRecord) -> bool:
        return not self.is_over

    def finishing(self, *, is_closing: bool = False) -> Sequence[int]:
        return ()

    def must_yield(self, record: TrialRecord) -> bool:
        return self.is_over
