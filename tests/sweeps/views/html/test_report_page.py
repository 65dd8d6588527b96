"""The content of the report, and that no text of users becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_fakes import START, content_of, figures, many, replicate, state_of, trial

from sweeps.analysis.comparison import Finding, compare_rungs
from sweeps.analysis.rungs import RungRun, RungRuns
from sweeps.core.results import TestResult
from sweeps.core.trial import Outcome, RungLabel, TrialRecord
from sweeps.search.state import DriverState
from sweeps.views.html.clock import clock_of, lanes_of, spans_of
from sweeps.views.html.content import Content, axis_range
from sweeps.views.html.curves import curves_section, last_of, names_of
from sweeps.views.html.failures import failures_section, log_tail
from sweeps.views.html.history import best_so_far, results
from sweeps.views.html.parallel import axes_of, lines_of
from sweeps.views.html.rungs import FINDING_LABELS, gains_of, rungs_section
from sweeps.views.html.slices import finding, slice_of, slices_section
from sweeps.views.html.surface import cells_of, estimate_of
from sweeps.views.html.template import page_of, vega
from sweeps.views.html.text import safe
from sweeps.views.html.timeline import CONFIRM, EPOCHS, WAIT, bars_of, timeline_section
from sweeps.views.html.tradeoff import (
    FRONT,
    PLAIN,
    SIMPLEST,
    Configuration,
    costs_of,
    pareto,
    simplest_of,
    tradeoff_section,
)
from sweeps.views.html.verdict import verdict_of

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[31m\x00\u202e"
VOID = {"meta", "input", "br"}


class Outline(HTMLParser):
    """The elements and attributes of a page. Checks that all elements are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def sweep(count: int = 20) -> list[TrialRecord]:
    return many(count)


class TestVerdict:
    def test_it_names_the_best_its_interval_and_those_without_a_significant_difference(self) -> None:
        first, second = trial(0, accuracies=(0.3, 0.4, 0.62)), trial(1, accuracies=(0.3, 0.4, 0.64))
        replicates = [
            replicate(record, seed=seed, accuracy=value)
            for record, values in ((first, (0.60, 0.62)), (second, (0.59, 0.62)))
            for seed, value in enumerate(values, start=1)
        ]

        winner, course = verdict_of(content_of([first, second], replicates=replicates))

        assert "The best is trial 0" in winner
        assert "61.00 % validation accuracy on the 2,000 images of the search, the mean of 2 new seeds" in winner
        assert "(95 % interval 55.52 to 66.48 %)" in winner
        assert "does not differ significantly from trial 1 (60.50 %)" in winner
        assert "The search ran 2 trials" in course
        assert "4 replicates" in course

    def test_a_result_of_one_seed_is_not_confirmed(self) -> None:
        winner, _ = verdict_of(content_of([trial(0), trial(1, accuracies=(0.1, 0.2, 0.3))]))

        assert "the value of one seed, selected by the search" in winner
        assert "It is not confirmed: run `sweeps replicate made`." in winner

    def test_without_a_complete_trial_there_is_no_ranking(self) -> None:
        winner, course = verdict_of(content_of([trial(0, accuracies=(0.3,), outcome=Outcome.PRUNED)]))

        assert winner == "No trial is complete, so there is no ranking."
        assert "1 pruned (stopped early)" in course

    def test_a_test_accuracy_has_its_own_sentence(self) -> None:
        tested = replace(trial(0), test=TestResult(loss=1.0, correct=b"\xff\x00", count=16))

        assert verdict_of(content_of([tested]))[0].endswith(" Its accuracy on the sealed test set is 50.00 %.")


class TestCases:
    @pytest.mark.parametrize(
        "records",
        [
            [],
            [trial(0)],
            [trial(0, accuracies=(), outcome=Outcome.FAILED, error="no")],
            [trial(n, accuracies=(), outcome=Outcome.FAILED, error="no") for n in range(3)],
            [trial(n, accuracies=(0.2,), outcome=Outcome.PRUNED) for n in range(5)],
            [trial(n, accuracies=(None, None, None)) for n in range(3)],
            [trial(n, accuracies=(float("nan"), float("inf"), 0.1)) for n in range(3)],
            [trial(n, accuracies=(0.5, 0.5, 0.5), config={"optimizer": {"lr": 0.01}}) for n in range(12)],
            [trial(n, accuracies=(), outcome=Outcome.RUNNING) for n in range(2)],
            [trial(n, reused_from="abc") for n in range(2)],
            [trial(0, config={"model": {"name": f"nets:{'x' * 80}"}}), trial(1)],
            many(40),
        ],
        ids=["empty", "one", "one-failed", "all-failed", "all-stopped", "no-validation", "not-finite", "all-equal",
             "just-started", "all-reused", "long-names", "many"],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "options", [{}, {"driver": DriverState(name="process 7 on here")}, {"rows": None, "rows_error": "unreachable"}]
    )
    def test_every_section_is_written_for_all_kinds_of_records(
        self, records: list[TrialRecord], options: dict[str, Any]
    ) -> None:
        page = page_of(content_of(records, **options))

        outline = Outline(page)
        assert [tag for tag, _ in outline.elements].count("h1") == 1
        assert len(outline.tags("section")) == 10
        assert all("spec" in figure for figure in figures(page).values())

    def test_the_page_of_a_running_sweep_shows_the_driver_and_the_time(self) -> None:
        content = content_of(
            [trial(0, outcome=Outcome.RUNNING)], driver=DriverState(name="process 7 on here"), now=START
        )

        page = page_of(content)

        assert "Running now, by process 7 on here" in page
        assert "2027-01-15 08:00:00 UTC" in page
        assert "No trial is complete yet." in page

    def test_a_damaged_journal_is_reported(self) -> None:
        assert "journal.log is damaged" in page_of(content_of([trial(0)], damage="journal.log is damaged in line 3"))

    def test_a_ladder_has_its_steps_and_no_leaderboard(self) -> None:
        label = RungLabel(name="base", index=0, parent=None)
        page = page_of(content_of([replace(trial(0), rung=label)], rows=None))

        assert "Steps and gains" in page
        assert 'id="leaderboard"' not in page


def rung(name: str, index: int, *accuracies: float, parent: str | None = None, reduced: str | None = None) -> RungRuns:
    runs = tuple(
        RungRun(
            seed=seed, run_id=f"{name}{seed}", status="complete", value=share,
            correct=np.arange(1000) < 1000 * share, parameters_millions=1.0 + index, train_seconds=10.0,
        )
        for seed, share in enumerate(accuracies)
    )  # fmt: skip
    return RungRuns(name=name, index=index, parent=parent, change="", reduced=reduced, runs=runs)


def ladder_content(*rungs: RungRuns) -> Content:
    label = RungLabel(name="base", index=0, parent=None)
    return content_of([replace(trial(0), rung=label)], rows=None, comparisons=compare_rungs(rungs))


class TestLadder:
    def test_each_rung_has_a_colour_and_name_however_many_runs(self) -> None:
        labels = [RungLabel(name=f"rung-{index}", index=index, parent=None) for index in range(6)]
        runs = [replace(trial(3 * rung.index + seed), rung=rung) for rung in labels for seed in range(3)]
        drawn = figures(curves_section(content_of(runs)))["val_accuracy after each epoch of the ladder"]

        colours = drawn["spec"]["layer"][0]["encoding"]["color"]["scale"]
        assert colours["domain"] == [f"rung-{index}" for index in range(6)]
        assert len(set(colours["range"])) == 6
        assert sorted(drawn["rows"]["names"]["name"]) == colours["domain"]
        assert len(drawn["rows"]["curves"]["epoch"]) == 18 * 3

    def test_the_highest_is_of_one_budget_and_shares_with_equals(self) -> None:
        content = ladder_content(
            rung("whole", 0, 0.9),
            rung("base", 1, 0.50, 0.51, 0.52, reduced="1 of 4 epochs"),
            rung("bn", 2, 0.64, 0.60, 0.63, parent="base", reduced="1 of 4 epochs"),
            rung("deep", 3, 0.62, 0.63, 0.60, parent="bn", reduced="1 of 4 epochs"),
        )
        verdict, _ = verdict_of(content)
        assert "The highest mean of the 3 comparable rungs under a reduced budget is that of bn" in verdict
        assert "not significantly different from deep (61.67 %)" in verdict
        assert "base" not in verdict
        assert "whole" not in verdict

    def test_accuracy_and_cost_include_rungs_of_one_budget_with_errors(self) -> None:
        seeds = (0.60, 0.61, 0.62, 0.60, 0.62)
        content = ladder_content(
            rung("whole", 0, 0.9), *(rung(f"r{n}", n, *seeds, reduced="1 of 4 epochs") for n in range(1, 5))
        )
        text = tradeoff_section(content)
        assert "one standard error (0.45 points)" in text
        assert "Not included: 1 configuration with other images or budgets." in text
        assert "is unknown" not in text
        assert "whole" not in text

    def test_below_three_seeds_no_step_is_called_a_gain(self) -> None:
        content = ladder_content(rung("base", 0, 0.50, 0.51), rung("bn", 1, 0.507, 0.47, parent="base"))
        assert "No step could be tested yet." in verdict_of(content)[0]
        section = rungs_section(content)
        assert "+0.70, -4.00" in section
        assert "largest gain" not in section
        assert "McNemar" not in section.partition("How to read this table")[0]
        rows = gains_of(content.comparisons)
        assert [row["gain"] for row in rows] == pytest.approx([0.7, -4.0])
        assert {(row["finding"], row["low"]) for row in rows} == {(FINDING_LABELS[Finding.NOT_COMPARED], None)}


class TestHostileText:
    def test_text_of_users_is_shown_and_is_not_markup(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_text(f"{HOSTILE}\n" * 3, encoding="utf-8")
        failed = trial(
            0, accuracies=(), outcome=Outcome.FAILED, error=HOSTILE, error_class=HOSTILE, traceback=HOSTILE, log="a.log"
        )
        odd = trial(1, config={"model": {"name": "nets:Net", "options": {HOSTILE: HOSTILE}}})
        rung = replace(trial(2), rung=RungLabel(name=HOSTILE, index=0, parent=None))

        for records in ([failed, odd, trial(3)], [rung]):
            page = page_of(
                content_of(records, runs=tmp_path, sweep=HOSTILE, damage=HOSTILE, driver=DriverState(name=HOSTILE))
            )
            page = page.replace(vega(), "")
            outline = Outline(page)
            assert sum("type" not in script for script in outline.tags("script")) == 2
            assert outline.tags("img") == []
            assert not any(name.startswith("on") for _, attributes in outline.elements for name in attributes)
            assert "\x00" not in page
            assert "\x1b" not in page
            assert "\u202e" not in page
            assert "&lt;/script&gt;" in page

    @given(st.text())
    def test_escaped_text_has_no_markup(self, text: str) -> None:
        shown = safe(text)

        assert not set(shown) & set("<>\"'\x00\x1b")
        shown.encode("utf-8")

    def test_a_log_outside_the_runs_folder_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret\n", encoding="utf-8")
        runs = tmp_path / "runs"
        runs.mkdir()
        (runs / "link.log").symlink_to(tmp_path / "secret")

        for log in ("../secret", str(tmp_path / "secret"), "link.log", "none.log", ".", "\x00", None):
            assert log_tail(runs, log) == []

    def test_a_long_log_gives_its_last_lines(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_bytes(b"".join(b"line %d \xff\n" % k for k in range(5000)))

        assert [line.split()[1] for line in log_tail(tmp_path, "a.log")] == [str(k) for k in range(4985, 5000)]


class TestOffline:
    def test_nothing_is_fetched_and_the_policy_allows_only_embedded_content(self) -> None:
        page = page_of(content_of(sweep())).replace(vega(), "")

        outline = Outline(page)
        policy = next(str(m["content"]) for m in outline.tags("meta") if "http-equiv" in m)
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert not any(
            name in ("src", "srcset", "style", "action") or (name == "href" and not str(value).startswith("#"))
            for _, attributes in outline.elements
            for name, value in attributes.items()
        )
        assert "url(" not in page
        assert "@import" not in page

    def test_headings_are_in_order_and_each_chart_has_a_label(self) -> None:
        outline = Outline(page_of(content_of(sweep())))

        levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        plots = [each for each in outline.tags("div") if each.get("class") == "plot"]
        assert len(plots) > 10
        assert all(plot["tabindex"] == "0" and len(str(plot["aria-label"])) > 40 for plot in plots)
        assert len(outline.tags("details")) >= len(plots)


class TestTime:
    def test_lanes_hold_one_trial_at_once_and_are_the_fewest(self) -> None:
        spans = spans_of(sweep(30), now=None)

        lanes = lanes_of(spans)

        assert len(lanes) == max(sum(o.begin <= s.begin < o.end for o in spans) for s in spans)
        for lane in lanes:
            assert all(b.begin >= a.end - 0.05 for a, b in pairwise(lane))

    def test_a_pause_between_two_starts_is_removed(self) -> None:
        records = [trial(0, begin=START), trial(1, begin=START + 40_000)]

        clock = clock_of(spans_of(records, now=None))

        assert len(clock.pauses) == 1
        assert clock.seconds == pytest.approx(62)
        assert clock.at(START + 40_010) == pytest.approx(31 + 10)

    def test_an_interrupted_trial_pauses_between_its_epochs(self) -> None:
        record = trial(0)
        late = replace(record.epochs[2], finished_at=START + 50_030)
        record = replace(record, epochs=(*record.epochs[:2], late), finished=START + 50_031)

        assert clock_of(spans_of([record], now=None)).seconds == pytest.approx(31)

    def test_the_use_of_the_slots_is_in_the_text(self) -> None:
        section = timeline_section(content_of([trial(0, begin=START), trial(1, begin=START)]))

        assert "2 trials in 31 s on 2 slots: 97 % of the slot time" in section
        assert "is not recorded" in section

    def test_bars_are_where_trials_held_a_slot_and_over_them_their_epochs(self) -> None:
        record = trial(0, begin=START + 60)
        spans = spans_of([trial(1, begin=START), record, replicate(record, seed=1, accuracy=0.5)], now=None)

        bars = bars_of(lanes_of(spans), clock_of(spans))

        assert [(bar["slot"], bar["kind"], bar["begin"], bar["end"]) for bar in bars] == [
            (1, WAIT, 0, 31), (1, EPOCHS, 0, 30), (1, WAIT, 60, 91), (1, EPOCHS, 60, 90), (2, WAIT, 60, 91),
            (2, CONFIRM, 60, 90),
        ]  # fmt: skip
        assert [bar["t"] for bar in bars] == ["1", "1", "0", "0", "0", "0"]


class TestComparisons:
    def test_trials_are_compared_at_the_last_epoch_that_two_thirds_reached(self) -> None:
        stopped = [trial(n, accuracies=(0.2, 0.3), outcome=Outcome.PRUNED) for n in range(2)]
        content = content_of([*stopped, trial(2), trial(3, accuracies=(), outcome=Outcome.DIVERGED)])

        assert content.shared_epoch == 2
        assert "after epoch 2, which 3 of 4 trials reached" in slices_section(content)

    def test_the_best_so_far_is_of_complete_trials_alone(self) -> None:
        stopped = trial(1, accuracies=(0.9,), outcome=Outcome.PRUNED)
        content = content_of([trial(0, accuracies=(0.1, 0.2, 0.3)), stopped, trial(2), trial(3)])

        rows = results(content)

        assert [(row["trial"], row["value"], row["outcome"]) for row in rows[:2]] == [
            (0, 30, "complete"), (1, 90, "pruned"),
        ]  # fmt: skip
        assert [row["ended"] for row in rows] == [31, 41, 91, 121]
        best = best_so_far(content, rows, along="trial")
        assert [(row["trial"], row["value"]) for row in best] == [(0, 30), (2, 50), (3, 50)]

    def test_lines_go_from_the_worst_to_the_best_through_their_values(self) -> None:
        rates, tops = (0.001, 0.01, 0.1, 1, 2, 3, 10), (0.1, 0.5, 0.3, 0.2, 0.15, 0.4, 0.25)
        records = [
            trial(n, accuracies=(top,), epochs=1, config={"optimizer": {"lr": rate}, "model": {"name": "simple"}})
            for n, (rate, top) in enumerate(zip(rates, tops, strict=True))
        ]
        content = content_of(records)
        rate = next(each for each in content.varying if each.path == "optimizer.lr")

        lines = lines_of(content, [rate, axes_of(content)[-1]])

        assert [line["trial"] for line in lines[::2]] == [0, 4, 3, 6, 2, 5, 1]
        assert [line["position"] for line in lines if line["trial"] == 1] == pytest.approx([0.25, 1.0])
        assert {line["quarter"] for line in lines if line["trial"] == 1} == {"best quarter"}
        assert rate.ticks == [(0, "0.001"), (0.5, "0.1"), (1, "10")]

    def test_medians_are_of_few_values_and_not_of_each_of_many(self) -> None:
        content = content_of(many(200))
        findings = {each.path: finding(content, each, slice_of(content, each)) for each in content.varying}

        assert findings["optimizer.lr"].startswith("The best 41 trials have values from 0.0")
        assert findings["model.name"].startswith("Best median: ")
        assert findings["model.name"].endswith("(bars are medians).")

    def test_few_numbers_that_would_overlap_have_a_categorical_axis(self) -> None:
        decays = (0, 0.0005, 0.005)
        records = [
            replace(record, config=record.config.model_copy(update={"optimizer": changed}))
            for record in many(12)
            if (changed := record.config.optimizer.model_copy(update={"weight_decay": decays[record.number % 3]}))
        ]
        varying = {each.path: each for each in content_of(records).varying}
        assert varying["optimizer.weight_decay"].levels == ("0", "0.0005", "0.005")
        assert [varying["optimizer.weight_decay"].position(number) for number in range(3)] == [0, 0.5, 1]
        assert not varying["optimizer.momentum"].is_categorical

    def test_a_stopped_trial_has_its_rank_at_that_time(self) -> None:
        early = trial(0, accuracies=(0.2,), outcome=Outcome.PRUNED, begin=START)
        better_but_later = trial(1, accuracies=(0.9, 0.9, 0.9), begin=START + 100)
        better = trial(2, accuracies=(0.3, 0.4, 0.5), begin=START - 50)

        section = curves_section(content_of([early, better_but_later, better]))

        assert "2 of 2" in section
        assert "trial 2, 30.00 %" in section

    def test_the_pareto_front(self) -> None:
        assert pareto([(1.0, 0.5), (2.0, 0.4), (2.0, 0.6), (3.0, 0.6), (0.5, 0.1), (1.0, 0.5)]) == [4, 0, 2]

    def test_names_of_curves_do_not_overlap(self) -> None:
        ends = last_of([{"run": n, "name": f"trial {n}", "value": value} for n, value in enumerate((50.0, 50.1, 90.0))])

        names = names_of(ends, of="name", height=5.0)

        assert [row["name"] for row in names] == ["trial 0", "trial 1", "trial 2"]
        assert all(b["level"] - a["level"] >= 5.0 for a, b in pairwise(names))

    def test_the_simplest_is_within_one_standard_error_of_the_best(self) -> None:
        def each(name: str, accuracy: float, parameters: float) -> Configuration:
            return Configuration(
                name=name, mark=name, accuracy=accuracy, error=0.02, parameters=parameters, seconds=parameters
            )

        found = [each("best", 0.80, 9.0), each("good", 0.781, 3.0), each("small", 0.779, 1.0), each("bad", 0.1, 5.0)]

        simplest = simplest_of(found)

        assert simplest is not None
        assert simplest.name == "good"
        rows = costs_of(found, lambda each: each.parameters, simplest=simplest)
        assert [(row["name"], row["kind"]) for row in rows] == [
            ("small", FRONT), ("good", SIMPLEST), ("bad", PLAIN), ("best", FRONT),
        ]  # fmt: skip

    def test_a_lower_loss_is_better(self) -> None:
        records = [trial(0, accuracies=(0.1, 0.2, 0.3)), trial(1, accuracies=(0.1, 0.2, 0.9))]
        content = Content(
            state=state_of(records, metric="val_loss", maximize=False), rows=None, environment={}, now=START
        )

        assert "trial 1 with 0.1000" in verdict_of(content)[0]
        assert not content.is_better(0.5, 0.4)

    def test_failures_come_with_their_class_and_error(self) -> None:
        failed = trial(4, accuracies=(), outcome=Outcome.FAILED, error="no room", error_class="out_of_memory")

        section = failures_section(content_of([trial(0), failed]))

        assert "trial 4: failed (out_of_memory)" in section
        assert "no room" in section


class TestTwoParameters:
    @pytest.mark.parametrize("maximize", [True, False])
    def test_the_named_best_values_were_tried(self, maximize: bool) -> None:
        # The highest estimate is between 64 and 128, where there is no batch size.
        sizes = (32, 64, 128, 256)
        records = [
            trial(
                number,
                accuracies=(0.3, 0.4, 0.5 + 0.01 * (sizes[number % 4] in (64, 128)) + 0.001 * number),
                config={"data": {"batch_size": sizes[number % 4]}, "optimizer": {"lr": 0.01 * 1.3**number}},
            )
            for number in range(12)
        ]
        content = content_of(records, maximize=maximize)

        section = slices_section(content)

        (batch, lr) = re.findall(
            r"estimate is best at (?:batch_size|lr) (\S+) and (?:batch_size|lr) (\S+), with", section
        )[0]
        tried = {value for varying in content.varying for value in map(varying.text, varying.values)}
        assert {batch, lr} <= tried

    def test_an_estimate_is_drawn_only_near_trials_and_never_beyond_their_results(self) -> None:
        content = content_of(many(60))
        numeric = [each for each in content.varying if each.is_numeric and not each.is_categorical]
        across, up = numeric[:2]

        found = estimate_of(content, across, up)

        assert found is not None
        results = content.shared_values.values()
        assert 0 < len(found.cells) < 42 * 28
        assert all(min(results) <= cell["estimate"] <= max(results) for cell in found.cells)
        reach = 1.6 * found.bandwidths[0] + 1 / 42
        assert all(
            min(abs(across.share(cell["x"]) - across.share(each["x"])) for each in found.trials) < reach
            for cell in found.cells
        )

    def test_a_cell_of_the_heat_map_has_its_trials_mean_and_number(self) -> None:
        records = [
            trial(n, accuracies=(0.1 * (n + 1),), epochs=1, config={"model": {"name": ("simple", "vgg")[n // 2]},
                  "data": {"batch_size": (32, 64)[n % 2 and n // 2]}, "optimizer": {"lr": 0.01}})
            for n in range(4)
        ]  # fmt: skip
        content = content_of(records)
        varying = {each.path: each for each in content.varying}

        cells = cells_of(content, varying["model.name"], varying["data.batch_size"])

        assert sorted((cell["x"], cell["y"], round(cell["mean"]), cell["n"]) for cell in cells) == [
            ("simple", "32", 15, 2), ("vgg", "32", 30, 1), ("vgg", "64", 40, 1),
        ]  # fmt: skip


class TestAxes:
    @pytest.mark.parametrize("values", [[64.0, 64.1], [0.1, 0.2], [99.9, 100.0], [10.0, 90.0]])
    def test_an_axis_contains_its_values_and_has_a_minimum_range(self, values: list[float]) -> None:
        low, high = axis_range(values, least=4.0)

        assert high - low >= 4.0 - 1e-9
        assert 0 <= low <= min(values) <= max(values) <= high
