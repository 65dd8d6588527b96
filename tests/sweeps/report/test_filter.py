"""The filter language: it understands what people write, and runs no code."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.errors import LeaderboardError
from sweeps.report.filter import matching, translate

FRAME = pd.DataFrame(
    {
        "rank": pd.Series([1, 2, 3, None], dtype="Int64"),
        "val_accuracy": [0.9, 0.7, 0.5, None],
        "best_val_accuracy": [0.9, 0.8, 0.5, None],
        "status": ["complete", "complete", "complete", "running"],
        "reduced": pd.Series([None, "epochs × 0.1", None, None], dtype="object"),
        "model.name": ["resnet", "vgg", "resnet and model.width", "simple"],
        "model.width": pd.Series([8, 16, 100, None], dtype="Int64"),
        "model.options.my-size": pd.Series([1, "big", 3, None], dtype="object"),
        "data.shuffle": pd.Series([True, False, True, None], dtype="object"),
    }
)


def rows(expression: str) -> list[int]:
    return list(FRAME.index[matching(FRAME, expression)])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("model.width > 8", [1, 2]),
        ("model.width > 8 and val_accuracy >= 0.6 and model.name == 'vgg'", [1]),
        ("model.name = 'resnet'", [0]),
        ('model.name = "resnet and model.width"', [2]),
        ("model.name in ['resnet', 'vgg']", [0, 1]),
        ("model.name not in ('resnet', 'vgg')", [2, 3]),
        ("not model.name == 'resnet'", [1, 2, 3]),
        ("0.6 < val_accuracy <= .7e0", [1]),
        ("val_accuracy < best_val_accuracy", [1]),
        ("best_val_accuracy - val_accuracy > 0.05", [1]),
        ("model.width > 8 | rank = 1", [0, 1, 2]),
        ("(model.width > 8) & !(model.name = 'vgg')", [2]),
        ("data.shuffle", [0, 2]),
        ("data.shuffle = true and rank < 3", [0]),
        ("reduced = none", [0, 2, 3]),
        ("reduced is not null", [1]),
        ("reduced != 'epochs × 0.1'", [0, 2, 3]),
        ("rank = none", [3]),
        ("`model.options.my-size` >= 1", [0, 2]),
        ("`model.options.my-size` == 'big'", [1]),
        ("val_accuracy > -1", [0, 1, 2]),
        ("status = 'complete'\n  and model.width=100", [2]),
    ],
)
def test_an_expression_chooses_the_rows_a_reader_expects(expression: str, expected: list[int]) -> None:
    assert rows(expression) == expected


def test_numbers_compare_as_numbers_and_not_as_text() -> None:
    assert rows("model.width < 20") == [0, 1]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "model.widht > 8",
            "did you mean 'model.width'",
        ),
        ("model.name = resnet", "a text is written in quotes: 'resnet'"),
        ("model.name > 8", "cannot compare text with number"),
        ("model.width = '8'", "cannot compare number with text"),
        ("model.width >", "cannot understand"),
        ("model.width", "compares no column"),
        ("1 < 2", "needs a column"),
        ("model.name in 'resnet'", "wants a list"),
        ("model.name in []", "wants a list"),
        ("model.width > none", "neither more nor less"),
        ("model.width and rank", "between comparisons"),
        ("model.name + 'x' = 'vggx'", "only numbers"),
        ("", "cannot understand"),
        ("007 < rank", "cannot understand"),
        ("rank < 1 / 0", "division by zero"),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(expression: str, message: str) -> None:
    with pytest.raises(LeaderboardError, match=message):
        matching(FRAME, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "@pd.io",
        "__import__('os').system('true')",
        "model.name.__class__ = 'x'",
        "open('x') = 1",
        "status.upper() = 'X'",
        "rank(1) = 1",
        "rank[0] = 1",
        "(lambda: 1)() = 1",
        "rank := 1",
        "[rank for rank in [1]] = 1",
        "f'{rank}' = '1'",
        "status = 'a'; rank = 1",
        "rank ** 9 ** 9 > 1",
        "rank if rank > 1 else rank",
        "status == f'x'",
        "{rank}",
        "rank `rank` > 1",
        "(" * 500 + "rank" + ")" * 500 + " > 1",
        "not " * 480 + "rank > 1" + " ",
        "rank > " + "1" * 3000,
    ],
)
def test_nothing_that_could_run_code_or_take_for_ever_is_accepted(expression: str) -> None:
    with pytest.raises(LeaderboardError):
        matching(FRAME, expression)


@given(st.text(st.characters(blacklist_characters="'\\\n", blacklist_categories=["Cs"])))
def test_a_text_in_quotes_is_itself_whatever_it_holds(text: str) -> None:
    frame = pd.DataFrame({"model.name": [text, text + "x"], "model.width": [1, 2]})
    assert matching(frame, f"model.name = '{text}' and model.width < 3").tolist() == [True, False]


@given(st.text(alphabet="rank_.01 ()[]<>=!&|~'\"`\\@:,+-*/notinad\n", max_size=40))
def test_any_input_is_understood_or_refused_and_never_breaks(expression: str) -> None:
    try:
        chosen = matching(FRAME, expression)
    except LeaderboardError:
        return
    assert chosen.dtype == bool
    assert len(chosen) == len(FRAME)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0), st.integers(0, 10**9))
def test_a_number_means_what_python_means_by_it(real: float, whole: int) -> None:
    frame = pd.DataFrame({"optimizer.lr": [real], "data.batch_size": [whole]})
    assert matching(frame, f"optimizer.lr = {real!r} and data.batch_size = {whole}").all()


def test_a_dotted_name_becomes_one_placeholder() -> None:
    source, names = translate("model.width > 8 and model.width < 9", columns=["model", "model.width", "width"])
    assert list(names.values()) == ["model.width"]
    assert source.count("column_0") == 2
