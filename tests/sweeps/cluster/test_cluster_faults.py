"""Three machines with Ray, a bucket, two databases and a tracking server between them, and everything that goes wrong.

`make cluster-test` runs it; no part of `make test`. Needs PostgreSQL's programs, and root for network namespaces.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from laboratory import Event, Laboratory, laboratory, seconds_of_day
from network import Machine, wait_until
from services import PASSWORD, postgresql_programs
from sweep_fakes import write_yaml

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(postgresql_programs() is None, reason="PostgreSQL's server programs are not installed"),
]

TRIALS, EPOCHS = 12, 40
IDLE_SECONDS = 10.0
SWEEP = {
    "name": "faults",
    "method": "random",
    "run_cap": TRIALS,
    "base": {
        "epochs": EPOCHS,
        "model": {"name": "net_of_a_laboratory:Net"},
        "data": {"train_size": 600, "validation_size": 200, "batch_size": 32, "normalization": "cifar10"},
    },
    "parameters": {"optimizer.lr": {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"}},
}


@pytest.fixture
def lab(tmp_path: Path):  # type: ignore[no-untyped-def]
    with laboratory(tmp_path) as made:
        yield made


def say(what: str) -> None:
    """Tell a person what is being done: the whole takes minutes."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def test_nothing_is_lost_and_nothing_is_trained_twice(lab: Laboratory, tmp_path: Path) -> None:
    head, worker, other = lab.nodes
    path = write_yaml(tmp_path, SWEEP)
    command = ("run", path, "--address", lab.address)
    disturbed: list[tuple[str, float, float]] = []

    def grown_by(count: int, *, seconds: float = 150) -> None:
        until = lab.epochs_trained("faults") + count
        wait_until(lambda: lab.epochs_trained("faults") >= until, seconds=seconds, what=f"{count} more epochs")

    say("a sweep is begun on node-0")
    driver = lab.drive(head, *command, log="driver-1.log")
    wait_until(
        lambda: len({event.trial for event in lab.events("faults") if event.epoch}) == 3
        and {event.host for event in lab.events("faults") if event.epoch} == {node.host for node in lab.nodes},
        seconds=150, what="trials on all three nodes",
    )  # fmt: skip

    say("node-1 is killed in the middle of an epoch")
    began = seconds_of_day()
    worker.kill()
    grown_by(10)
    lab.start_node(worker)
    disturbed.append((worker.host, began, seconds_of_day()))
    say("node-1 is started again")
    wait_until(
        lambda: any(e.host == worker.host and e.epoch and e.at > disturbed[0][2] for e in lab.events("faults")),
        seconds=90, what="node-1 at work again",
    )  # fmt: skip

    say("the cable of node-2 is pulled for 30 s")
    began = seconds_of_day()
    if other.namespace is not None:
        with other.cut_off():
            time.sleep(30)
        wait_until(lambda: not any("raylet" in name for name in commands(other.pids())), seconds=60, what="its end")
    other.kill()
    lab.start_node(other)
    disturbed.append((other.host, began, seconds_of_day()))
    say("node-2 is started again")
    grown_by(6)

    say("PostgreSQL is away for 8 s, the tracking server for 20 s")
    began = seconds_of_day()
    lab.postgresql.stop()
    time.sleep(8)
    lab.postgresql.start()
    lab.mlflow.stop()
    time.sleep(20)
    lab.mlflow.start()
    disturbed += [(node.host, began, seconds_of_day()) for node in lab.nodes]
    grown_by(6)

    say("the driver on node-0 is killed, and started on node-1")
    began = seconds_of_day()
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait(10)
    driver = lab.drive(worker, *command, log="driver-2.log")
    grown_by(3)
    disturbed += [(node.host, began, seconds_of_day()) for node in lab.nodes]
    assert driver.wait(600) == 0, (lab.logs / "driver-2.log").read_text()[-3000:]
    say("the sweep is done")

    check_record(lab)
    again = check_epochs(lab)
    idle = longest_idle(lab.events("faults"), disturbed)
    secrets_are_nowhere(lab, tmp_path)
    print(
        json.dumps({"trials": TRIALS, "epochs": EPOCHS, "gone on": again, "longest idle s": round(idle, 1)}),
        file=sys.stderr,
    )
    assert idle <= IDLE_SECONDS


def test_a_node_without_the_bucket_is_named_before_anything_trains(lab: Laboratory, tmp_path: Path) -> None:
    lab.nodes[2].kill()
    lab.start_node(lab.nodes[2], without="AWS_")
    began = time.monotonic()

    driver = lab.drive(lab.nodes[0], "run", write_yaml(tmp_path, SWEEP), "--address", lab.address, log="driver.log")

    assert driver.wait(90) == 2
    said = (lab.logs / "driver.log").read_text()
    assert f"not every node of the Ray cluster at {lab.address} can train this sweep: {lab.nodes[2].address} (" in said
    assert f"reports: the storage {lab.bucket}/lab" in said
    assert lab.nodes[1].address not in said
    assert "in the environment of `ray start` there" in said
    assert lab.epochs_trained("faults") == 0
    say(f"refused after {time.monotonic() - began:.0f} s")


def test_a_node_that_images_do_not_reach_is_named_before_anything_trains(lab: Laboratory, tmp_path: Path) -> None:
    if lab.nodes[2].namespace is None:
        pytest.skip("loopback addresses have no ports of their own that could be closed")

    with lab.nodes[2].without_port(lab.object_port):
        driver = lab.drive(lab.nodes[0], "run", write_yaml(tmp_path, SWEEP), "--address", lab.address, log="driver.log")
        assert driver.wait(90) == 2

    said = (lab.logs / "driver.log").read_text()
    assert f"can train this sweep: {lab.nodes[2].address} (" in said
    assert "received no data within 10 s" in said
    assert lab.nodes[1].address not in said
    assert lab.epochs_trained("faults") == 0


def test_a_trial_waiting_for_images_on_a_joined_node_moves_elsewhere(lab: Laboratory, tmp_path: Path) -> None:
    late = lab.nodes[2]
    if late.namespace is None:
        pytest.skip("loopback addresses have no ports of their own that could be closed")
    late.kill()
    path = write_yaml(tmp_path, SWEEP | {"run_cap": 4})
    driver = lab.drive(lab.nodes[0], "run", path, "--address", lab.address, log="driver.log")
    wait_until(lambda: lab.epochs_trained("faults") > 2, seconds=150, what="trials on the first two nodes")

    with late.without_port(lab.object_port):
        lab.start_node(late)
        wait_until(lambda: len(waiting(late)) == 1, seconds=90, what="a trial on it")
        late.kill()

    assert driver.wait(600) == 0, (lab.logs / "driver.log").read_text()[-3000:]
    check_record(lab, trials=4)
    check_epochs(lab, trials=4)
    assert late.host not in {event.host for event in lab.events("faults")}


def waiting(machine: Machine) -> list[str]:
    """Return what a machine's processes call themselves that hold a trial."""
    return [name for name in commands(machine.pids()) if name.startswith("ray::") and "Trainable" in name]


def commands(pids: list[int]) -> list[str]:
    """Return what processes were started as."""
    found = []
    for pid in pids:
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0])
        except OSError:
            continue
    return found


def check_record(lab: Laboratory, *, trials: int = TRIALS) -> None:
    """Every trial is in the record once, whole, and at its end; its files are in the bucket."""
    runs = lab.postgresql.execute(
        "select r.run_uuid, r.status from runs r join tags t on t.run_uuid = r.run_uuid "
        "where t.key = 'kind' and t.value = 'trial' and r.lifecycle_stage = 'active'",
        database="mlflow",
    )
    assert [status for _, status in runs] == ["FINISHED"] * trials
    for run, _ in runs:
        steps = lab.postgresql.execute(
            f"select step from metrics where run_uuid = '{run}' and key = 'val_accuracy' order by step",
            database="mlflow",
        )
        assert [step for (step,) in steps] == list(range(1, EPOCHS + 1))
    running = lab.postgresql.execute("select count(*) from runs where status = 'RUNNING'", database="mlflow")
    assert running == [(0,)]
    names = list(lab.s3.content(lab.bucket))
    assert sum(name.startswith("mlflow/") and name.endswith("trial.log") for name in names) == trials


def check_epochs(lab: Laboratory, *, trials: int = TRIALS) -> int:
    """No epoch is trained twice beyond the last checkpoint. Return how often a trial went on elsewhere."""
    by_trial = defaultdict(list)
    for event in lab.events("faults"):
        by_trial[event.trial].append(event)
    assert len(by_trial) == trials
    gone_on = 0
    for events in by_trial.values():
        last = 0
        for event in events:
            if event.epoch:
                assert event.epoch == last + 1, events
                last = event.epoch
            elif event.gone_on_after is not None:
                assert event.gone_on_after >= last, events
                last = event.gone_on_after
                gone_on += 1
            else:
                assert last == 0, events
        assert last == EPOCHS
    return gone_on


def longest_idle(events: list[Event], disturbed: list[tuple[str, float, float]]) -> float:
    """Return the longest time between two epochs of a node, beyond an epoch's own, while there was work for it.

    The time in which the node itself was away, or the driver or its databases were, does not count. There was work
    until the last trial had begun: a node that never came back to it was idle from then on.
    """
    ends = defaultdict(list)
    for event in events:
        if event.epoch:
            ends[event.host].append(event.at)
    gaps = {host: [b - a for a, b in itertools.pairwise(sorted(times))] for host, times in ends.items()}
    epoch = statistics.median(itertools.chain.from_iterable(gaps.values()))
    longest = 0.0
    last_begun = max(event.at for event in events if event.epoch == 1)
    for host, times in ends.items():
        seen = max([*times, *(end for name, _, end in disturbed if name == host)])
        longest = max(longest, last_begun - seen - epoch)
        for a, b in itertools.pairwise(sorted(times)):
            away = any(name == host and begin - 2 <= b and a <= end + 2 for name, begin, end in disturbed)
            if not away and b <= last_begun:
                longest = max(longest, b - a - epoch)
    return longest


def secrets_are_nowhere(lab: Laboratory, folder: Path) -> None:
    """No password stands in a log, a file that a sweep wrote, the record or the bucket."""
    secrets = (PASSWORD, lab.s3.environment["AWS_SECRET_ACCESS_KEY"])
    written = [path for node in lab.nodes for path in (folder / node.name).rglob("*") if path.is_file()]
    for path in [*written, *lab.logs.glob("driver*")]:
        assert not any(secret.encode() in path.read_bytes() for secret in secrets), path
    for name, content in lab.s3.content(lab.bucket).items():
        assert not any(secret.encode() in content for secret in secrets), name
    for table in ("tags", "params", "experiment_tags"):
        rows = lab.postgresql.execute(f"select * from {table}", database="mlflow")
        assert not any(secret in str(row) for row in rows for secret in secrets), table
    for table in ("study_user_attributes", "trial_user_attributes", "sweeps_leases"):
        rows = lab.postgresql.execute(f"select * from {table}", database="studies")
        assert not any(secret in str(row) for row in rows for secret in secrets), table
