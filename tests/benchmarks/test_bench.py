"""`make bench`: each part measures, and its table reaches the page."""

import json
from pathlib import Path

import bench
import bench_overhead
import bench_whole
import pytest

FAST = ["writer", "search"]


def region(page: str, name: str) -> str:
    return page.split(f"<!-- table {name} -->")[1].split("<!-- end -->")[0]


def check_page(folder: Path, parts: list[str]) -> None:
    results = json.loads((folder / "bench.json").read_text())
    page = (folder / "performance.md").read_text()
    assert list(results) == parts
    for name in parts:
        assert {"machine", "versions", "date", "minutes", "found"} <= set(results[name])
        assert bench.PARTS[name].table(results[name]["found"]) in page
    assert page.count("A smoke run, not a measurement.") == len(parts)
    before = bench.PAGE.read_text()
    assert all(region(page, name) == region(before, name) for name in bench.PARTS if name not in parts)
    assert not any("Not measured." in region(page, name) for name in parts)


def test_a_smoke_run_writes_results_and_the_tables_of_its_parts(tmp_path: Path) -> None:
    bench.main(["--quick", "--out", str(tmp_path), "--only", *FAST])
    check_page(tmp_path, FAST)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_smoke_run_of_every_part_works(tmp_path: Path) -> None:
    parts = [name for name in bench.PARTS if name not in FAST]
    bench.main(["--quick", "--out", str(tmp_path), "--only", *parts])
    check_page(tmp_path, parts)


def test_a_smoke_run_does_not_replace_measured_results(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--quick", "--only", "writer"])
    assert "--out FOLDER" in capsys.readouterr().err


def test_the_page_has_a_place_for_each_part_and_keeps_others() -> None:
    page = bench.PAGE.read_text()
    for name in bench.PARTS:
        assert page.count(f"<!-- table {name} -->") == 1
    assert bench.rendered(page, {}) == page


def test_overhead_is_the_idle_time_of_the_slots_per_trial() -> None:
    # Two slots: 10 to 11 and 11.5 to 12.5; 10.5 to 12.
    result = bench_overhead.result_of([(10, 11), (10.5, 12), (11.5, 12.5)], started=8.0, slots=2)
    assert result["overhead"] == pytest.approx((2 * 2.5 - 3.5) / 3)
    assert result["first_step"] == 2.0
    assert result["busy"] == pytest.approx(3.5 / 5)


def test_a_whole_search_hands_over_the_best_complete_trial_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    trials = [
        {"config": {"n": 1}, "epochs": [[now + 30, 5, 0.2], [now + 60, 5, 0.3]], "complete": True},
        {"config": {"n": 2}, "epochs": [[now + 100, 5, 0.9]], "complete": False},
        {"config": {"n": 3}, "epochs": [[now + 150, 5, 0.5]], "complete": True},
    ]

    def run(command: list[str], **options: object) -> object:
        folder = Path(command[command.index("--folder") + 1])
        (folder / "trials.jsonl").write_text("\n".join(map(json.dumps, trials)))
        return type("Done", (), {"returncode": 0, "stderr": ""})()

    monkeypatch.setattr(bench_whole.subprocess, "run", run)
    monkeypatch.setattr(bench_whole.time, "time", lambda: now)
    found = bench_whole.search("cifar-sweeps", 0, minutes=(0.5, 2.0, 4.0), small=False)
    assert found["handed_over"] == [None, {"n": 1}, {"n": 3}]
    assert (found["trials"], found["complete"], found["epochs"], found["first_step"]) == (3, 2, 4, 25.0)
