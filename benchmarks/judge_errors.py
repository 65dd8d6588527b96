"""Wrong answers among all answers to fifty questions of `sweeps judge`, simulated, next to a t-test after each seed.

A family is fifty questions, one after the other. Each is asked until it is answered or its seeds are used up, by
`sweeps.analysis.judging.judge` at the level that `sweeps.analysis.online_fdr` gives it. The t-test is the one that a
script would use without it: paired, at 5 %, looked at after each seed from the third on.

- `mixed`: a random half of the questions has no difference, the others 0.5 to 4 standard deviations.
- `no difference`: of no question. Every better or worse is wrong.
- `unequal`: as `no difference`, and the second configuration has four times the spread of the first.
- `chosen`: as `mixed`, but the differences come last, after all questions without one.

    python benchmarks/judge_errors.py --families 1000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from sweeps.analysis.judging import Answer, judge
from sweeps.analysis.online_fdr import ALPHA, level_of_question
from sweeps.core.measure import Measure

QUESTIONS = 50
EFFECTS = (0.5, 1.0, 2.0, 4.0)
"""Differences in standard deviations of the first configuration over its seeds."""
MEASURE = Measure(name="score")


@dataclass(frozen=True, kw_only=True)
class Family:
    """The differences of fifty questions, and the spread of the second configuration."""

    differences: np.ndarray
    spread: float = 1.0


def mixed(rng: np.random.Generator) -> Family:
    return Family(differences=np.where(rng.random(QUESTIONS) < 0.5, 0.0, rng.choice(EFFECTS, QUESTIONS)))


def none(rng: np.random.Generator) -> Family:
    return Family(differences=np.zeros(QUESTIONS))


def unequal(rng: np.random.Generator) -> Family:
    return Family(differences=np.zeros(QUESTIONS), spread=4.0)


def late(rng: np.random.Generator) -> Family:
    return Family(differences=np.sort(mixed(rng).differences))


KINDS: dict[str, Callable[[np.random.Generator], Family]] = {
    "mixed": mixed,
    "no difference": none,
    "unequal": unequal,
    "chosen": late,
}


@dataclass
class Counts:
    """Sums over families."""

    answers: float = 0.0
    wrong: float = 0.0
    share: float = 0.0
    found: float = 0.0
    seeds: float = 0.0

    def add(self, answers: np.ndarray, wrong: np.ndarray, found: np.ndarray, seeds: np.ndarray) -> None:
        """Add a family: three booleans and the number of seeds of each question."""
        self.answers += answers.sum()
        self.wrong += wrong.sum()
        self.share += wrong.sum() / max(1, answers.sum())
        self.found += found.sum()
        self.seeds += seeds.mean()


def is_wrong(answer: Answer, difference: float, *, margin: float | None) -> bool:
    """Return whether an answer contradicts the actual difference."""
    if answer is Answer.BETTER:
        return difference <= 0
    if answer is Answer.WORSE:
        return difference >= 0
    return answer is Answer.NO_DIFFERENCE and abs(difference) > (margin or 0.0)


def judged(drawn: np.ndarray, differences: np.ndarray, *, margin: float | None) -> tuple[np.ndarray, ...]:
    """Return whether each question is answered, wrongly, and its difference found, and its seeds.

    Args:
        drawn: Values, questions x seeds x 2.
        differences: The actual difference of each question.
        margin: As for `judge`.
    """
    answered, wrong, found, seeds = ([] for _ in range(4))
    for number, (pairs, difference) in enumerate(zip(drawn.tolist(), differences, strict=True), 1):
        level = level_of_question(number, answers=sum(answered))
        result = judge([(a, b) for a, b in pairs], level=level, margin=margin, measure=MEASURE)
        answered.append(result.answer is not Answer.OPEN)
        wrong.append(is_wrong(result.answer, difference, margin=margin))
        found.append(result.answer is Answer.BETTER and difference > 0)
        seeds.append(result.seeds)
    return tuple(np.array(each) for each in (answered, wrong, found, seeds))


def by_t_test(drawn: np.ndarray, differences: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the same for a t-test after each seed from the third on."""
    values = drawn[..., 0] - drawn[..., 1]
    count = np.arange(1, values.shape[1] + 1)
    means = values.cumsum(axis=1) / count
    squares = (values**2).cumsum(axis=1) - count * means**2
    with np.errstate(invalid="ignore", divide="ignore"):
        t = means / np.sqrt(np.maximum(squares, 0) / (count - 1) / count)
    significant = np.abs(t) > stdtrit(np.maximum(count - 1, 1), 1 - ALPHA / 2)
    significant[:, :2] = False
    answered = significant.any(axis=1)
    first = np.where(answered, significant.argmax(axis=1), values.shape[1] - 1)
    sign = np.sign(means[np.arange(len(values)), first])
    right = answered & (sign == np.sign(differences))
    return answered, answered & ~right, right, first + 1


def simulate(kind: str, *, families: int, seeds: int, margin: float | None) -> dict[str, Counts]:
    """Return the sums over families for both methods."""
    rng = np.random.default_rng(0)
    counts = {"judge": Counts(), "t-test": Counts()}
    for _ in range(families):
        family = KINDS[kind](rng)
        drawn = rng.normal(size=(QUESTIONS, seeds, 2)) * (1.0, family.spread)
        drawn[..., 0] += family.differences[:, None]
        counts["judge"].add(*judged(drawn, family.differences, margin=margin))
        counts["t-test"].add(*by_t_test(drawn, family.differences))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=1000, help="families of fifty questions (default: 1000)")
    parser.add_argument("--seeds", type=int, default=30, help="largest number of seeds of a question (default: 30)")
    parser.add_argument("--margin", type=float, default=1.0, help="in standard deviations; 0: none (default: 1)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    given = parser.parse_args()
    print("| questions | method | answers of 50 | wrong | expected share of wrong answers | found | seeds a question |")
    print("| :--- | :--- | ---: | ---: | ---: | ---: | ---: |")
    for kind in given.kinds:
        for method, sums in simulate(
            kind, families=given.families, seeds=given.seeds, margin=given.margin or None
        ).items():
            answers, wrong, share, found, seeds = (
                value / given.families for value in (sums.answers, sums.wrong, sums.share, sums.found, sums.seeds)
            )
            cells = f"{answers:.1f}", f"{wrong:.2f}", f"{100 * share:.1f} %", f"{found:.1f}", f"{seeds:.1f}"
            print(f"| {kind} | {method} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
