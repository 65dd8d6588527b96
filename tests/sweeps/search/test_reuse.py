"""Recorded results that a search and a ladder reuse."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sweeps.core.results import TestResult
from sweeps.core.trial import CompleteResult
from sweeps.search.reuse import LadderResults, SearchResults

TEST = TestResult(loss=1.0, correct=b"\xf0", count=8)
KEY = "0123456789abcdef"


@dataclass
class Recorded:
    """Has one complete result."""

    test: TestResult | None = TEST

    def complete_result(self, key: str) -> CompleteResult | None:
        result = CompleteResult(run_id="abc", study=None, epochs=(), parameters=42, test=self.test)
        return result if key == KEY else None


def test_a_search_reuses_a_result_without_its_test_result() -> None:
    found = SearchResults(Recorded()).complete_result(KEY)

    assert found is not None
    assert (found.run_id, found.test) == ("abc", None)


def test_a_ladder_reuses_the_test_result_and_needs_no_weights() -> None:
    found = LadderResults(Recorded(), fetch_weights=lambda key: pytest.fail("nothing is to be measured"))

    assert found.complete_result(KEY) == Recorded().complete_result(KEY)


@pytest.mark.parametrize("has_weights", [True, False])
def test_a_ladder_reuses_an_untested_result_only_with_its_weights(has_weights: bool) -> None:
    asked: list[str] = []

    def bring(key: str) -> bool:
        asked.append(key)
        return has_weights

    found = LadderResults(Recorded(test=None), fetch_weights=bring).complete_result(KEY)

    assert (found is not None, asked) == (has_weights, [KEY])


def test_what_is_not_recorded_is_not_found() -> None:
    assert SearchResults(Recorded()).complete_result("other") is None
    assert LadderResults(Recorded(), fetch_weights=lambda key: True).complete_result("other") is None
