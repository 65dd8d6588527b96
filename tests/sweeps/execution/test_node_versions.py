"""Which differences between a node and the driver keep a sweep from starting, and how they are told."""

from __future__ import annotations

import re

import pytest

from sweeps.execution.node_versions import NodeVersions, differences, installed_versions, other_release, refusal

HERE = {
    "python": "3.11.7",
    "ray": "2.60.0",
    "torch": "2.14.1",
    "numpy": "2.4.6",
    "optuna": "5.0.0",
    "cifar-sweeps": "1",
}
ADDRESS = "10.0.0.1:6379"


def answer(node: str = "10.0.0.2 (gpu-2)", **changes: str | None) -> NodeVersions:
    return NodeVersions(node=node, versions=HERE | {name.replace("_", "-"): value for name, value in changes.items()})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"torch": "9.9.9"}, "torch 9.9.9 (here 2.14.1)"),
        ({"python": "3.11.8"}, "python 3.11.8 (here 3.11.7)"),
        ({"numpy": "1.26.4"}, "numpy 1.26.4 (here 2.4.6)"),
        ({"torch": None}, "no torch (here 2.14.1)"),
        ({"optuna": None}, "no optuna (here 5.0.0)"),
        ({"cifar_sweeps": "0.4.0"}, "cifar-sweeps 0.4.0 (here 1)"),
    ],
)
def test_a_difference_names_both_versions(changes: dict[str, str | None], words: str) -> None:
    there = answer(**changes).versions
    assert there is not None

    assert differences(HERE, there) == [words]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"torch": "2.14.1+cu130"}, id="the same release built for a GPU"),
        pytest.param({"cifar_sweeps": None}, id="this package's code travels"),
        pytest.param({"optuna": "5.0.1"}, id="computes nothing of a trial"),
    ],
)
def test_what_does_not_matter_is_no_difference(changes: dict[str, str | None]) -> None:
    assert refusal(HERE, [answer(), answer(**changes)], address=ADDRESS) is None


def test_one_error_names_every_node_with_its_versions_and_what_to_do() -> None:
    silent = NodeVersions(node="10.0.0.4 (gpu-4)", versions=None, problem="gave no answer within 20 s")
    others = [answer(), answer("10.0.0.3 (gpu-3)", torch="9.9.9", numpy=None), silent]

    words = refusal(HERE, others, address=ADDRESS)

    assert words is not None
    assert ADDRESS in words
    assert "10.0.0.3 (gpu-3) has torch 9.9.9 (here 2.14.1), no numpy (here 2.4.6)" in words
    assert "10.0.0.4 (gpu-4) gave no answer within 20 s" in words
    assert "10.0.0.2" not in words
    assert "install the same versions" in words
    assert "\n" not in words


def test_what_is_installed_here_differs_from_itself_in_nothing() -> None:
    here = installed_versions()

    assert re.fullmatch(r"3\.\d+\.\d+", here["python"] or "")
    assert here["torch"]
    assert differences(here, here) == []


def test_rays_own_word_of_another_release_becomes_one_sentence_with_all_four_versions() -> None:
    from ray._private.utils import check_version_info

    with pytest.raises(RuntimeError) as raised:
        check_version_info({"ray_version": "2.9.0", "python_version": "3.9.18"}, "node 10.0.0.5:0")

    words = other_release(str(raised.value))

    assert words is not None
    assert re.match(
        r"it runs Ray 2\.9\.0 on Python 3\.9\.18, and here is Ray \S+ on Python 3\.\d+\.\d+: install", words
    )
    assert other_release("Failed to connect to GCS") is None
