"""The search with a model of learning curves: which trial continues, and which configuration is tried next.

After each milestone one decision places the free slot: it continues a paused trial or starts a new configuration. Half
of the decisions maximise the probability to exceed a threshold after some more epochs, both drawn for each of them
(MFPI-random, Rakotoarison et al. 2024, https://arxiv.org/abs/2404.16795): they explore. The other half maximise the
expected improvement after the last epoch: they refine what is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from scipy.stats import norm, qmc, rankdata

from sweeps.core.trial import Outcome
from sweeps.files.parameter import Assignment
from sweeps.files.space import SearchSpace
from sweeps.search.curve_model import CurveModel, Floats, Inputs
from sweeps.search.features import Features
from sweeps.search.positions import Point, value_at_position
from sweeps.search.prior import draw_from_prior, draw_uniformly

FIRST_POINTS = 2
"""The first configurations are this many more than the space has parameters: points of a Sobol sequence."""
POOL = 1000
"""Random configurations, drawn once: half of them from the priors if the space has any."""
RANDOM_CANDIDATES = 200
"""Of the pool, for each decision."""
NEAR_CANDIDATES = 50
"""Candidates with some values of one of the best configurations changed."""
NEAR = 5
"""Number of the best configurations of which candidates are changed."""
THRESHOLDS = (-3.0, -0.5)
"""Range of the power of ten of the improvement that a trial shall exceed, in deviations of the values."""
FINAL_SHARE = 0.5
"""Share of the decisions by the expected improvement after the last epoch; the others are by MFPI-random."""
WINDOW = 300
"""Maximum number of observations that the model reads: the last one of each trial first, then the newest."""
REFIT = 1.5
"""The hyperparameters are fitted again when the number of observations has grown by this factor."""
MOST_EARLIER = 50
"""Curves of other sweeps that the model reads."""
_EARLIER = -1_000_000
"""Number of the first curve of another sweep; those of the others are smaller."""
_STREAM = 2
"""Third part of the seed of a decision, so that it does not depend on the draws of a sampler."""


@dataclass
class _Curve:
    features: Floats
    point: Point
    epochs: int = 0
    """Finished epochs."""
    observed: dict[int, float] = field(default_factory=dict)
    """Milestone or last epoch to the metric, negative if it is minimised."""
    may_continue: bool = True
    has_diverged: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a free slot does next."""

    trial: int | None = None
    """The paused trial to continue."""
    new: Assignment | None = None
    """The configuration of the new trial; None if a sampler shall propose it."""
    starts_new: bool = False
    """Whether a new trial may start if there is no `trial`, or no time for it."""
    ends: bool = False
    """Whether the budget is spent."""


class CurveSearch:
    """The trials of a search and the model of their curves. Equal trials lead to equal decisions."""

    def __init__(
        self,
        space: SearchSpace,
        *,
        milestones: Iterable[int],
        epochs: int,
        run_cap: int | None,
        expected_epochs: float,
        maximize: bool,
        seed: int,
        scores_new: bool,
        earlier: Sequence[tuple[Point, Sequence[float]]] = (),
        fitted: Sequence[float] | None = None,
        on_fit: Callable[[Sequence[float]], None] = lambda fitted: None,
    ) -> None:
        """Create it without any trial.

        Args:
            space: The search space.
            milestones: Numbers of epochs after which a trial pauses, ascending.
            epochs: Epochs of a complete trial.
            run_cap: Maximum number of trials; None for no limit.
            expected_epochs: Mean epochs of a trial, so that the budget in epochs is this many per trial.
            maximize: Whether a larger value of the metric is better.
            seed: Seed of the search.
            scores_new: Whether the model chooses new configurations; otherwise a sampler draws them.
            earlier: Configurations of other sweeps, and the metric after each of their epochs. How much they tell is
                learnt: whether a trial is of another sweep is a parameter with a length scale.
            fitted: What `on_fit` has been called with last; None for a new search.
            on_fit: Called after each fit with the number of observations and the hyperparameters, to be stored.
        """
        self._space, self._features = space, Features(space)
        self._milestones, self._epochs = tuple(milestones), epochs
        self._expected_epochs, self._sign, self._seed = expected_epochs, 1.0 if maximize else -1.0, seed
        self._budget: int | None = None
        """Epochs of all trials of the search; None for no limit."""
        if run_cap is not None:
            self.resize(run_cap)
        self._scores_new = scores_new
        self._curves: dict[int, _Curve] = {}
        self._paused: set[int] = set()
        self._tried: set[str] = set()
        self._earlier = {
            _EARLIER - index: _Curve(
                features=np.append(self._features.of(point), 1.0),
                point=point,
                observed={
                    epoch: self._sign * value
                    for epoch, value in enumerate(values[:epochs], start=1)
                    if epoch in self._milestones or epoch == min(len(values), epochs)
                },
            )
            for index, (point, values) in enumerate(earlier[:MOST_EARLIER])
        }
        groups = self._features.groups
        self._model = CurveModel([*groups, len(space.parameters)] if earlier else groups)
        self._fitted_at, self._on_fit = 0, on_fit
        # A wider space has more parameters, and the model has one less after the sweep of the warm start was deleted.
        if fitted is not None and len(fitted) == 1 + len(self._model.hyperparameters):
            self._fitted_at, self._model.hyperparameters = int(fitted[0]), np.array(fitted[1:])
        self._conditioned: tuple[int, int] | None = None
        self._decided: tuple[object, Decision] | None = None
        self._best_final = 0.0
        """The largest expected final value, standardised."""
        self._highest = 0.0
        """The largest value observed in this search, standardised."""

    def begin(self, number: int, point: Point) -> None:
        """Add a trial."""
        self._curves[number] = _Curve(features=self._vector(point), point=dict(point))
        self._tried.add(self._space.identity(point))

    def _vector(self, point: Point) -> Floats:
        features = self._features.of(point)
        return np.append(features, 0.0) if self._earlier else features

    def is_milestone(self, epoch: int) -> bool:
        """Return whether a trial may pause after an epoch."""
        return epoch in self._milestones

    def enter(self, number: int, *, epoch: int, value: float) -> None:
        """Add an epoch of a trial."""
        curve = self._curves[number]
        curve.epochs = max(curve.epochs, epoch)
        if epoch in self._milestones or epoch == self._epochs:
            curve.observed[epoch] = self._sign * value

    def pause(self, number: int, *, epoch: int, value: float) -> None:
        """Pause a trial."""
        self._paused.add(number)

    def resume(self, number: int) -> None:
        """Continue a paused trial."""
        self._paused.remove(number)

    def end(self, number: int, outcome: Outcome) -> None:
        """End a trial: it cannot be continued."""
        curve = self._curves[number]
        self._paused.discard(number)
        curve.may_continue = False
        curve.has_diverged = outcome is Outcome.DIVERGED

    def set_aside(self, number: int) -> None:
        """Remove a trial that a person skips. Its observations stay."""
        self._paused.discard(number)
        self._curves[number].may_continue = False

    def take_back(self, number: int) -> None:
        """Add a trial again that was set aside."""
        self._curves[number].may_continue = True

    def resize(self, run_cap: int) -> None:
        """Change the budget to that of another number of trials."""
        self._budget = max(self._epochs, math.ceil(run_cap * self._expected_epochs))

    @property
    def has_ended(self) -> bool:
        """Whether the budget is spent, and the best trial complete."""
        return self._decision(may_start=True).ends

    def next(self, *, may_start: bool, is_closing: bool) -> int | None:
        return self._decision(may_start=may_start).trial

    def may_start_new(self) -> bool:
        """Return whether a new trial may start after the last decision."""
        return self._decided is None or self._decided[1].starts_new

    def proposal(self) -> Assignment | None:
        """Return the configuration of the last decision; None if a sampler shall propose one."""
        return None if self._decided is None else self._decided[1].new

    def expected(self) -> dict[int, float]:
        """Return the expected value of the metric after the last epoch for each complete trial."""
        complete = [number for number, curve in sorted(self._curves.items()) if curve.epochs >= self._epochs]
        if not complete or not self._update():
            return {}
        means, _ = self._predicted(complete, epochs=[self._epochs] * len(complete))
        values = np.interp(means, self._scale[0], self._scale[1])
        return {number: self._sign * float(value) for number, value in zip(complete, values, strict=True)}

    def expected_gain(self) -> float:
        """Return the expected improvement on the best final value by the most promising trial, in units of the metric.

        A search may stop once it is small (Nguyen et al., Regret for Expected Improvement over the Best-Observed
        Value and Stopping Condition, 2017). It is infinite before the model has observations.
        """
        if self._best() is None:
            return math.inf
        open_trials = [
            number
            for number, curve in sorted(self._curves.items())
            if curve.may_continue and curve.epochs < self._epochs
        ]
        rng = np.random.default_rng([self._seed, len(self._curves), _STREAM, self._observations, self._spent, 1])
        new = [features for _, features in self._candidates(rng)]
        epochs = [self._epochs] * (len(open_trials) + len(new))
        means, deviations = self._predicted(open_trials, epochs=epochs, new=new)
        gain = float(_expected_improvement(means, deviations, above=self._best_final).max())
        return gain * self._upper_slope()

    def _upper_slope(self) -> float:
        """Return the units of the metric per standardised unit among the best observations."""
        standardised, values = self._scale
        count = max(5, len(values) // 4)
        upper = standardised[-count:]
        if len(upper) < 2 or np.ptp(upper) == 0:
            return 0.0
        return max(0.0, float(np.polyfit(upper, values[-count:], 1)[0]))

    def _decision(self, *, may_start: bool) -> Decision:
        ended = sum(not curve.may_continue for curve in self._curves.values())
        state = (
            len(self._curves),
            ended,
            self._observations,
            self._spent,
            frozenset(self._paused),
            may_start,
            self._budget,
        )
        if self._decided is None or self._decided[0] != state:
            self._decided = (state, self._decide(may_start=may_start))
        return self._decided[1]

    def _decide(self, *, may_start: bool) -> Decision:
        best, free, may_add = self._best(), self._free, may_start
        may_start = may_start and (self._milestone_after(0) <= free or not self._curves)
        paused = [
            number
            for number in sorted(self._paused)
            # An epoch of the best trial is reserved already.
            if number == best or self._step(number) <= free
        ]
        if self._curves and (free <= 0 or not (paused or may_start)):
            return self._last_decision(may_start=may_add)
        if may_start and len(self._curves) < self.first_points:
            return Decision(new=self.first_point(len(self._curves)), starts_new=True)
        if not self._update():
            return Decision(trial=paused[0] if paused else None, starts_new=may_start)
        rng = np.random.default_rng([self._seed, len(self._curves), _STREAM, self._observations, self._spent])
        new = list(self._candidates(rng)) if may_start else []
        for index in np.argsort(-self._scores(paused, [point for _, point in new], rng), kind="stable"):
            if index < len(paused):
                return Decision(trial=paused[index], starts_new=may_start)
            assignment = new[index - len(paused)][0]
            if not self._scores_new or self._is_new(assignment):
                return Decision(new=assignment if self._scores_new else None, starts_new=True)
        return Decision(starts_new=may_start)

    def _scores(self, paused: Sequence[int], new: Sequence[Floats], rng: np.random.Generator) -> Floats:
        """Return how promising it is to continue paused trials, and to start new ones: either of two criteria."""
        if not paused and not new:
            return np.array([])
        if rng.uniform() < FINAL_SHARE:
            means, deviations = self._predicted(paused, epochs=[self._epochs] * (len(paused) + len(new)), new=new)
            return _expected_improvement(means, deviations, above=self._best_final)
        more = int(rng.integers(1, self._epochs + 1))
        threshold = self._highest + 10 ** rng.uniform(*THRESHOLDS)
        reached = [self._curves[number].epochs for number in paused] + [0] * len(new)
        epochs = [min(epoch + more, self._epochs) for epoch in reached]
        means, deviations = self._predicted(paused, epochs=epochs, new=new)
        score: Floats = (means - threshold) / deviations
        return score

    def _last_decision(self, *, may_start: bool) -> Decision:
        """Complete the best trial if the budget suffices. Without a complete trial, one is completed in any case."""
        left, best = self._left, self._best()
        is_running = any(map(self._runs, self._curves))
        if best is None:  # all trials have failed, or none has finished an epoch yet
            return Decision(starts_new=may_start and not is_running)
        if self._rest(best) > left and is_running:
            return Decision()
        has_complete = any(curve.epochs >= self._epochs for curve in self._curves.values())
        if has_complete and not 0 < self._rest(best) <= left:
            return Decision(ends=True)
        if self._rest(best) > left:
            affordable = self._best(most=left)
            best = min(self._paused, key=self._rest, default=best) if affordable is None else affordable
        return Decision(trial=best if best in self._paused else None)

    def _runs(self, number: int) -> bool:
        curve = self._curves[number]
        return curve.may_continue and number not in self._paused and curve.epochs < self._epochs

    def _rest(self, number: int) -> int:
        return self._epochs - self._curves[number].epochs

    def _is_new(self, assignment: Assignment) -> bool:
        """Return whether a configuration is untried and allowed."""
        is_tried = self._space.identity(self._space.encode(assignment)) in self._tried
        return not is_tried and self._space.satisfies(assignment)

    @property
    def _observations(self) -> int:
        return sum(len(curve.observed) for curve in self._curves.values())

    @property
    def _spent(self) -> int:
        return sum(curve.epochs for curve in self._curves.values())

    @property
    def _left(self) -> float:
        """Epochs of the budget that running trials do not need until their next milestones."""
        if self._budget is None:
            return math.inf
        return self._budget - self._spent - sum(map(self._step, filter(self._runs, self._curves)))

    @property
    def _free(self) -> float:
        """Epochs of the budget that the completion of the best trial does not need either."""
        best = self._best()
        return self._left - (self._epochs if best is None else self._rest(best))

    def _step(self, number: int) -> int:
        """Return the epochs of a trial until it may pause."""
        epochs = self._curves[number].epochs
        return self._milestone_after(epochs) - epochs

    def _milestone_after(self, epochs: int) -> int:
        return next((each for each in self._milestones if each > epochs), self._epochs)

    def _best(self, *, most: float = math.inf) -> int | None:
        """Return the trial with the largest expected final value, of those that can be or are complete.

        Args:
            most: Largest number of epochs that it may need to be complete.
        """
        usable = [
            number
            for number, curve in sorted(self._curves.items())
            if curve.observed and (curve.may_continue or curve.epochs >= self._epochs)
            if self._rest(number) <= most
        ]
        if not usable or not self._update():
            return usable[0] if usable else None
        means, _ = self._predicted(usable, epochs=[self._epochs] * len(usable))
        self._best_final = float(means.max())
        return usable[int(np.argmax(means))]

    @property
    def first_points(self) -> int:
        return len(self._space.parameters) + FIRST_POINTS

    def first_point(self, index: int) -> Assignment | None:
        """Return a point of a scrambled Sobol sequence; a parameter that is inactive there is left out."""
        if not self._scores_new:
            return None
        paths = list(self._space.parameters)
        sequence = qmc.Sobol(len(paths), scramble=True, seed=np.random.default_rng([self._seed, _STREAM]))
        with np.errstate(all="ignore"):
            positions = sequence.random(2 ** math.ceil(math.log2(len(paths) + FIRST_POINTS + 1)))[index]
        assignment: Assignment = {}
        for path, position in zip(paths, positions, strict=True):
            if self._space.is_active(path, assignment):
                assignment[path] = self._value(path, float(position))
        return assignment

    def _value(self, path: str, position: float) -> object:
        distribution = self._space.distributions[path]
        if isinstance(distribution, CategoricalDistribution):
            choices = distribution.choices
            return self._space.decode(path, choices[min(int(position * len(choices)), len(choices) - 1)])
        return self._space.decode(path, value_at_position(position, distribution))

    def _candidates(self, rng: np.random.Generator) -> Iterator[tuple[Assignment, Floats]]:
        """Yield configurations that may be tried next, with their features; one if a sampler proposes them."""
        for index in rng.choice(POOL, RANDOM_CANDIDATES if self._scores_new else 1, replace=False):
            yield self._pool[index]
        if self._scores_new:
            for assignment in self._near(rng):
                yield assignment, self._vector(self._space.encode(assignment))

    @cached_property
    def _pool(self) -> Sequence[tuple[Assignment, Floats]]:
        rng = np.random.default_rng([self._seed, _STREAM])
        drawn = [(draw_from_prior if index % 2 else draw_uniformly)(self._space, rng) for index in range(POOL)]
        return [(assignment, self._vector(self._space.encode(assignment))) for assignment in drawn]

    def _near(self, rng: np.random.Generator) -> Iterator[Assignment]:
        """Yield configurations near the best ones: on average two values are drawn again."""
        best = sorted(self._curves.values(), key=lambda curve: -max((curve.observed or {0: -math.inf}).values()))[:NEAR]
        share = min(1.0, 2 / len(self._space.parameters))
        for index in range(NEAR_CANDIDATES if best else 0):
            point = best[index % len(best)].point
            drawn = self._pool[int(rng.integers(POOL))][0]
            assignment: Assignment = {}
            for path in self._space.parameters:
                if not self._space.is_active(path, assignment):
                    continue
                keeps = path in point and (path not in drawn or rng.uniform() >= share)
                if keeps or path in drawn:
                    assignment[path] = self._space.decode(path, point[path]) if keeps else drawn[path]
                else:  # active here, but neither there nor in the draw
                    assignment[path] = self._value(path, float(rng.uniform()))
            yield assignment

    def _update(self) -> bool:
        """Condition the model on all observations. Return False if there are too few."""
        state = (self._observations, sum(curve.has_diverged for curve in self._curves.values()))
        if self._conditioned == state:
            return True
        rows = self._rows()
        if len(rows) < 2:
            return False
        rows += [
            (number, epoch, value) for number, curve in self._earlier.items() for epoch, value in curve.observed.items()
        ]
        numbers, epochs, values = zip(*rows, strict=True)
        standardised = self._standardise(np.array(values))
        self._highest = max(value for number, value in zip(numbers, standardised, strict=True) if number >= 0)
        inputs = self._inputs(numbers, epochs)
        if len(rows) >= self._fitted_at * REFIT + 2:
            self._model.fit(inputs, standardised)
            self._fitted_at = len(rows)
            self._on_fit([float(self._fitted_at), *map(float, self._model.hyperparameters)])
        self._model.condition(inputs, standardised)
        self._conditioned = state
        return True

    def _rows(self) -> list[tuple[int, int, float]]:
        """Return the observations in the window: trial, epoch, value; minus infinity where a trial has diverged."""
        rows = []
        for number, curve in sorted(self._curves.items()):
            own = [(number, epoch, value) for epoch, value in sorted(curve.observed.items())]
            if curve.has_diverged:
                own.append((number, curve.epochs + 1, -math.inf))
            rows.append([row if math.isfinite(row[2]) else (*row[:2], -math.inf) for row in own])
        last = [own[-1] for own in rows if own]
        others = [row for own in rows for row in own[:-1]]
        kept = last if len(last) <= WINDOW else sorted(last, key=lambda row: (row[1], row[0]))[-WINDOW:]
        return sorted([*kept, *others[max(0, len(others) - (WINDOW - len(kept))) :]])

    def _standardise(self, values_N: NDArray[np.float64]) -> Floats:
        """Return the normal quantiles of the ranks, with mean 0 and deviation 1; keep the scale for `expected`."""
        found: Floats = norm.ppf((rankdata(values_N) - 0.5) / len(values_N))
        found = (found - found.mean()) / max(float(found.std()), 1e-3)
        by_value = np.argsort(found, kind="stable")
        finite = values_N[np.isfinite(values_N)]
        worst = finite.min() if len(finite) else 0.0
        self._scale = found[by_value], np.where(np.isfinite(values_N), values_N, worst)[by_value]
        return found

    def _inputs(self, numbers: Sequence[int], epochs: Sequence[int], new: Sequence[NDArray[np.float64]] = ()) -> Inputs:
        rows = [(self._curves if number >= 0 else self._earlier)[number].features for number in numbers] + list(new)
        times = np.log(np.maximum(epochs, 1)) / math.log(max(self._epochs, 2))
        return Inputs(
            features_ND=np.array(rows).reshape(len(rows), -1),
            times_N=times,
            trials_N=np.array([*numbers, *(-1 - index for index in range(len(new)))]),
        )

    def _predicted(
        self, numbers: Sequence[int], *, epochs: Sequence[int], new: Sequence[NDArray[np.float64]] = ()
    ) -> tuple[Floats, Floats]:
        return self._model.predict(self._inputs(numbers, epochs, new))


def _expected_improvement(means: Floats, deviations: Floats, *, above: float) -> Floats:
    ratio = (means - above) / deviations
    improvement: Floats = deviations * (ratio * norm.cdf(ratio) + norm.pdf(ratio))
    return improvement
