"""The questions of a runs folder are one family, which neither a crash nor a second process changes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sweeps.core.errors import StoreError
from sweeps.store.questions import QUESTIONS, Asked, Question, Result, add_result, ask, read_questions


def asked(first: str, second: str, **changes: str) -> Asked:
    fields = {"metric": "val_accuracy", "goal": "maximize", "images": "2,000"} | changes
    return Asked(first=first, second=second, first_key=f"key of {first}", second_key=f"key of {second}", **fields)


def put(runs: Path, first: str, second: str, *, last: int = 0, until: float = 0.95, **changes: str) -> Question:
    return ask(runs, asked(first, second, **changes), until=until, last_used_seed=last, seeds=100)


def answered(number: int, *, answer: str = "better", is_answered: bool = True) -> Result:
    return Result(
        number=number,
        answer=answer,
        is_answered=is_answered,
        seeds=7,
        difference=1.0,
        low=0.5,
        high=1.5,
        margin=1.0,
        until=0.95,
        when="",
    )


def test_the_same_question_keeps_its_number_also_when_exchanged(tmp_path: Path) -> None:
    first = put(tmp_path, "a", "b")

    assert put(tmp_path, "a", "b", last=500) == first
    assert put(tmp_path, "b", "a").number == first.number
    assert put(tmp_path, "a", "c").number == 2
    assert put(tmp_path, "a", "b", metric="val_loss").number == 3
    assert put(tmp_path, "a", "b", images="5,000").number == 4


def test_the_answers_before_a_question_are_fixed_when_it_is_asked_first(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    put(tmp_path, "a", "c")
    add_result(tmp_path, answered(1))
    third = put(tmp_path, "a", "d")
    add_result(tmp_path, answered(2))

    assert [each.answers_before for each in read_questions(tmp_path)] == [0, 0, 1]
    assert put(tmp_path, "a", "d").answers_before == third.answers_before == 1


def test_an_open_result_is_no_answer_and_an_answer_stays_one(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    add_result(tmp_path, answered(1, answer="not distinguished yet", is_answered=False))
    assert put(tmp_path, "a", "c").answers_before == 0

    add_result(tmp_path, answered(1))
    add_result(tmp_path, answered(1, answer="not distinguished yet", is_answered=False))
    question = read_questions(tmp_path)[0]
    assert question.is_answered
    assert question.result is not None
    assert question.result.answer == "not distinguished yet"


def test_no_two_questions_share_a_seed_or_use_a_recorded_one(tmp_path: Path) -> None:
    first, second = put(tmp_path, "a", "b", last=3), put(tmp_path, "a", "c", last=3)
    third = put(tmp_path, "a", "d", last=5000)
    fourth = put(tmp_path, "a", "e", last=0)

    starts = [each.first_seed for each in (first, second, third, fourth)]
    assert starts == [4, 104, 5001, 5101]


def test_the_first_question_fixes_the_confidence_of_the_family(tmp_path: Path) -> None:
    assert put(tmp_path, "a", "b", until=0.9).until == 0.9
    assert put(tmp_path, "a", "c", until=0.99).until == 0.9


def test_questions_asked_at_once_get_different_numbers(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: put(tmp_path, "a", name), "bcdefghi"))

    assert sorted(each.number for each in found) == list(range(1, 9))
    assert len({each.first_seed for each in found}) == 8


def test_a_line_left_incomplete_by_a_crash_loses_no_other(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    path = tmp_path / QUESTIONS
    path.write_text(path.read_text() + '{"asked": {"number": 2, "as')

    assert [each.number for each in read_questions(tmp_path)] == [1]
    assert put(tmp_path, "a", "c").number == 2
    add_result(tmp_path, answered(2))
    assert [each.is_answered for each in read_questions(tmp_path)] == [False, True]


def test_the_same_result_is_written_once(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    for _ in range(3):
        add_result(tmp_path, answered(1))

    lines = (tmp_path / QUESTIONS).read_text().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["asked", "result"]


def test_a_folder_in_place_of_the_log_is_named(tmp_path: Path) -> None:
    (tmp_path / QUESTIONS).mkdir()
    with pytest.raises(StoreError, match=QUESTIONS.replace(".", r"\.")):
        put(tmp_path, "a", "b")
