"""What is told of nodes that join a cluster. Ray's part is played here; the cluster's tests close a real port."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.exceptions import ObjectStoreFullError

from sweeps.execution import ray_joined
from sweeps.execution.ray_checks import ANSWER_SECONDS
from sweeps.execution.ray_joined import JoinedNodes


class Cluster:
    """Nodes by their ids, what each says of the object store, and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.living = ["head"]
        self.answers: dict[str, str] = {}
        self.said: list[str] = []
        self.asked: list[str] = []
        self.joined = JoinedNodes(self.living, say=self.said.append)

    def begin(self, node: str) -> str:
        self.asked.append(node)
        return node

    def look(self) -> list[str]:
        """Look once more, two seconds later; return all that was said until then."""
        self.now += 2.0
        self.joined.look(self.living)
        return self.said


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(ray_joined, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(ray_joined, "node_names", lambda: {node: f"10.0.0.7 ({node})" for node in made.living})
    monkeypatch.setattr(ray_joined, "begin_transfer", made.begin)
    monkeypatch.setattr(ray_joined, "has_answered", lambda node: node in made.answers)
    complaint = lambda name, node: f"{name} {said}" if (said := made.answers.get(node, "gave no answer")) else ""  # noqa: E731
    monkeypatch.setattr(ray_joined, "complaint_of", complaint)
    return made


def test_a_node_that_joins_and_gets_nothing_is_named_once_with_what_to_do(cluster: Cluster) -> None:
    cluster.living.append("late")
    assert cluster.look() == []
    cluster.answers["late"] = "received nothing within 10 s"

    [said] = cluster.look()

    assert "10.0.0.7 (late) received nothing within 10 s" in said
    assert "`ray stop`" in said
    assert cluster.look() == [said]
    assert cluster.asked == ["late"]


def test_nothing_is_said_of_nodes_that_were_there_and_of_those_that_get_everything(cluster: Cluster) -> None:
    cluster.living.append("late")
    cluster.answers["late"] = ""

    assert cluster.look() == cluster.look() == []
    assert cluster.asked == ["late"]


def test_a_node_that_does_not_answer_in_time_is_named(cluster: Cluster) -> None:
    cluster.living.append("late")
    for _ in range(int(ANSWER_SECONDS / 2)):
        assert cluster.look() == []

    cluster.look()

    assert "10.0.0.7 (late) gave no answer" in cluster.look()[0]


def test_nothing_is_said_of_a_node_that_went_away_before_it_answered(cluster: Cluster) -> None:
    cluster.living.append("late")
    cluster.look()
    cluster.living.remove("late")
    cluster.answers["late"] = "received nothing within 10 s"

    assert cluster.look() == []


def test_a_question_that_is_open_where_the_connection_to_ray_ends_is_asked_anew_on_the_next(cluster: Cluster) -> None:
    cluster.living += ["late", "prompt"]
    cluster.answers["prompt"] = ""
    with cluster.joined.asking():
        cluster.look()

    assert cluster.look() == []
    cluster.answers["late"] = "received nothing within 10 s"

    assert "10.0.0.7 (late) received nothing" in cluster.look()[0]
    assert sorted(cluster.asked) == ["late", "late", "prompt"]


def test_a_full_object_store_leaves_the_question_out_and_ends_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(node: str) -> str:
        raise ObjectStoreFullError

    monkeypatch.setattr(ray_joined, "begin_transfer", full)
    cluster.living.append("late")

    assert cluster.look() == []
