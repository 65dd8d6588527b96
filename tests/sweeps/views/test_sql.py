"""SQL over the record: conditions and statements work, and nothing outside the record can be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.core.errors import LeaderboardError
from sweeps.record.columns import Kind
from sweeps.record.reader import MlflowReader
from sweeps.record.table import Table
from sweeps.views import sql as sql_module
from sweeps.views.arrow_tables import arrow_of, table_of_result
from sweeps.views.queries import matching
from sweeps.views.sql import Statement, locked_database

CELLS: dict[str, tuple[Kind, list[Any]]] = {
    "rank": (Kind.INTEGER, [1, 2, 3, None]),
    "sweep": (Kind.TEXT, ["quick", "quick", "quick", "ladder"]),
    "rung": (Kind.TEXT, [None, None, None, "deep"]),
    "trial": (Kind.INTEGER, [0, 1, 12, 3]),
    "seed": (Kind.INTEGER, [0, 0, 7, 0]),
    "replicate_of": (Kind.INTEGER, [None, None, 12, None]),
    "val_accuracy": (Kind.REAL, [0.9, 0.7, 0.5, None]),
    "best_val_accuracy": (Kind.REAL, [0.9, 0.8, 0.5, None]),
    "test_accuracy": (Kind.REAL, [None] * 4),
    "status": (Kind.TEXT, ["complete", "complete", "complete", "running"]),
    "started": (Kind.TIME, ["2026-11-01T10:00:00Z", "2026-11-02T10:00:00Z", "2026-11-20T23:59:59Z", None]),
    "reduced": (Kind.TEXT, [None, "epochs × 0.1", None, None]),
    "error": (Kind.TEXT, [None] * 4),
    "model.name": (Kind.TEXT, ["resnet", "vgg", "resnet and model.width", "simple"]),
    "model.width": (Kind.INTEGER, [8, 16, 100, None]),
    "model.options.my-size": (Kind.TEXT, [1, "big", 3, None]),
    "data.shuffle": (Kind.TEXT, [True, False, True, None]),
    "optimizer.lr": (Kind.REAL, [0.1, 0.01, 0.001, 0.5]),
}
TABLE = Table(
    columns={name: kind for name, (kind, _) in CELLS.items()},
    rows=[dict(zip(CELLS, row, strict=True)) for row in zip(*(cells for _, cells in CELLS.values()), strict=True)],
)
EPOCHS = pa.table({"run_id": ["a", "a"], "epoch": [1, 2], "train_loss": [2.0, float("nan")]})


def rows(condition: str) -> list[int]:
    """Return the indices of the rows for which a condition holds."""
    holds, _ = matching(MlflowReader(Path("nowhere")), TABLE, condition, sweep=None, recorded=TABLE)
    return [index for index, each in enumerate(holds) if each]


def answer(sql: str) -> list[tuple[object, ...]]:
    tables = {"runs": arrow_of(TABLE), "epochs": EPOCHS}
    found = Statement(sql).execute(tables)
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ("model.width > 8", [1, 2]),
            ("model.width > 8 and val_accuracy >= 0.6 and model.name == 'vgg'", [1]),
            ("model.name = 'resnet'", [0]),
            ("model.name = 'resnet and model.width'", [2]),
            ("model.name in ['resnet', 'vgg']", [0, 1]),
            ("model.name not in ('resnet', 'vgg')", [2, 3]),
            ("not model.name == 'resnet'", [1, 2, 3]),
            ("0.6 < val_accuracy and val_accuracy <= .7e0", [1]),
            ("val_accuracy < best_val_accuracy", [1]),
            ("best_val_accuracy - val_accuracy > 0.05", [1]),
            ("model.width > 8 or rank = 1", [0, 1, 2]),
            ("(model.width > 8) and not (model.name = 'vgg')", [2]),
            ("data.shuffle", [0, 2]),
            ("data.shuffle = true and rank < 3", [0]),
            ("reduced is null", [0, 2, 3]),
            ("reduced is not null", [1]),
            ("reduced is distinct from 'epochs × 0.1'", [0, 2, 3]),
            ("rank is null", [3]),
            ("error like '%memory%'", []),
            ("error is null and test_accuracy is null", [0, 1, 2, 3]),
            ("try_cast(model.options.`my-size` as int) >= 1", [0, 2]),
            ("model.options.\"my-size\" == 'big'", [1]),
            ("val_accuracy > -1", [0, 1, 2]),
            ("status = 'complete'\n  and model.width=100 -- the wide one", [2]),
            ("model.name like 'res%' and optimizer.lr between 0.01 and 0.1", [0]),
            ("model.name ilike 'RES%'", [0, 2]),
            ("round(log10(optimizer.lr)) = -2", [1]),
            ("upper(model.name) = 'VGG'", [1]),
            ("board.model.name = 'vgg' and board.rank = 2", [1]),
            ("MODEL.NAME = 'vgg'", [1]),
            ("row_number() over (partition by model.name = 'vgg' order by optimizer.lr) = 1", [1, 2]),
            ("model.width = (select max(x) from (select 100 as x))", [2]),
            ("model.width > null or reduced = null", []),
        ],
    )
    def test_a_condition_chooses_the_rows_a_reader_expects(self, condition: str, expected: list[int]) -> None:
        assert rows(condition) == expected

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ("started > '2026-11-01T12:00:00Z'", [1, 2]),
            ("started between '2026-11-02' and '2026-11-20'", [1]),
            ("started >= date '2026-11-02'", [1, 2]),
            ("started < now() and started > timestamp '2026-11-19'", [2]),
            ("started::date = '2026-11-20'", [2]),
            ("date_trunc('day', started) = '2026-11-01'", [0]),
        ],
    )
    def test_a_start_is_a_time_in_utc(self, condition: str, expected: list[int]) -> None:
        assert rows(condition) == expected

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ("trial == 'quick-001'", [1]),
            ("trial = 'ladder/deep'", [3]),
            ("trial = 'quick-012-s7'", [2]),
            ("trial in ('quick-000', 'quick-001', 'quick-009')", [0, 1]),
            ("trial like 'quick-00%'", [0, 1]),
            ("number between 1 and 3", [1, 3]),
        ],
    )
    def test_a_trial_is_its_name_and_number_its_number(self, condition: str, expected: list[int]) -> None:
        assert rows(condition) == expected

    @pytest.mark.parametrize(
        ("condition", "message"),
        [
            ("model.widht > 8", "did you mean 'model.width'"),
            ("val_acuracy > 0.5", "did you mean 'val_accuracy'"),
            ("model.nam = 'vgg'", "did you mean 'model.name'"),
            ("modle.name = 'vgg'", "did you mean 'model.name'"),
            ("optimizer.lr > 0 and lr > 0", "column 'lr'.* did you mean 'optimizer.lr'"),
            ("board.val_acuracy > 0.5", "did you mean 'val_accuracy'"),
            ("\"model.name\" = 'vgg'", '"model"."name"'),
            ("model = 'vgg'", "Name one of model.name, model.width"),
            ("model.name = resnet", "write 'resnet' in single quotes"),
            ('model.name = "resnet"', "write 'resnet' in single quotes"),
            ("trial = 1", "`number` is the number of the trial"),
            ("model.name > 8", "Cannot compare"),
            ("model.width = 'wide'", "Could not convert string 'wide'"),
            ("model.width >", "cannot parse"),
            ("model.width", "is not a condition"),
            ("", "is not a condition"),
            ("0 < rank <= 2", "use AND"),
            ("val_accuracy > avg(val_accuracy)", r"\(select avg\(val_accuracy\) from configurations\)"),
            ("rank > (select 1 from read_csv('/etc/passwd'))", "a query can only read the record"),
            ("rank > (select rank from rusn)", "the tables are runs, "),
            ("true) union all (select 1", "cannot parse"),
            ("true) from runs where (true", "cannot parse"),
            ("rank = 1; drop table runs", "cannot parse"),
            ("rank = 1 /*", "cannot parse"),
            ("@pd.io", None),
            ("__import__('os').system('true')", None),
            ("rank if rank > 1 else rank", "cannot parse"),
            ("(" * 2000 + "rank" + ")" * 2000 + " > 1", "cannot parse"),
            ("not " * 3000 + "rank > 1", "cannot parse"),
            ("rank > " + "1" * 30_000, None),
        ],
    )
    def test_an_error_is_reported_in_one_line_with_what_to_write(self, condition: str, message: str | None) -> None:
        with pytest.raises(LeaderboardError, match=message) as refused:
            rows(condition)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 600

    @given(st.text(alphabet="rank_.01 ()[]<>=!&|~'\"`\\@:,+-*/notinadselct;\n", max_size=40))
    @settings(deadline=None, max_examples=40)
    def test_any_input_is_accepted_or_refused_in_one_line(self, condition: str) -> None:
        message = ""
        try:
            rows(condition)
        except LeaderboardError as refused:
            message = str(refused)
        assert "\n" not in message

    def test_the_used_columns_are_returned(self) -> None:
        condition = "optimizer.lr > 0 and model.name = 'seed' and optimizer.lr < 1"
        _, used = matching(MlflowReader(Path("nowhere")), TABLE, condition, sweep=None, recorded=TABLE)
        assert used == ["optimizer.lr", "model.name"]


class TestStatements:
    @pytest.mark.parametrize(
        ("sql", "expected"),
        [
            ("select model.name from runs where model.width = 16", [("vgg",)]),
            ("select r.optimizer.lr from runs r where r.rank = 2", [(0.01,)]),
            ("select max(optimizer.lr) as lr from runs group by sweep order by lr desc", [(0.5,), (0.1,)]),
            ("with best as (select max(val_accuracy) as acc from runs) select best.acc from best", [(0.9,)]),
            ("select trial, number from runs where trial = 'quick-001'", [("quick-001", 1)]),
            ("select list_transform([1, 2], lambda lr: lr + 1)", [([2, 3],)]),
            ("select count(*) from runs join epochs on epochs.epoch = runs.rank", [(2,)]),
            ("select epoch from epochs where isnan(train_loss)", [(2,)]),
            ("from epochs select max(epoch);", [(2,)]),
            ("select count(*) from (select * exclude (model, rank) from runs)", [(4,)]),
            ("select a.model.width from runs a join runs b on a.trial = b.trial where b.model.name = 'vgg'", [(16,)]),
            ("select 1 union all select max(rank) from runs order by 1", [(1,), (3,)]),
            ("select count(*) from (describe runs) where column_name = 'model'", [(1,)]),
        ],
    )
    def test_a_select_has_its_result(self, sql: str, expected: list[tuple[object, ...]]) -> None:
        assert answer(sql) == expected

    def test_a_star_returns_the_columns_of_the_table_with_the_same_values(self) -> None:
        found = table_of_result(Statement("select * from runs").execute({"runs": arrow_of(TABLE)}))
        changed = {"trial", "number", "model.options.my-size"}
        assert [name for name in found.columns if name not in changed] == [
            name for name in CELLS if name not in changed
        ]
        for name in CELLS.keys() - changed:
            assert (found.columns[name], found.values(name)) == CELLS[name]
        assert found.values("model.options.my-size") == ["1", "big", "3", None]
        assert found.values("trial") == ["quick-000", "quick-001", "quick-012-s7", "ladder/deep"]
        assert found.values("number") == TABLE.values("trial")

    def test_a_column_of_the_result_keeps_its_dotted_name(self) -> None:
        sql = "select model.name, runs.model.width, optimizer.lr as lr, count(*) from runs group by all"
        found = table_of_result(Statement(sql).execute({"runs": arrow_of(TABLE)}))
        assert list(found.columns) == ["model.name", "width", "lr", "count(*)"]

    def test_a_block_that_is_also_a_column_keeps_dotted_columns(self) -> None:
        row = {"model.options.a": 1, "model.options": "{}", "model.name": "vgg"}
        table = Table(columns=dict.fromkeys(row, Kind.TEXT) | {"model.options.a": Kind.INTEGER}, rows=[row])
        found = table_of_result(Statement("select model from t").execute({"t": arrow_of(table)}))
        assert found.rows == [row]

    def test_a_query_without_end_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sql_module, "TIME_LIMIT", 0.2)
        with pytest.raises(LeaderboardError, match=r"no result within 0\.2 seconds"):
            answer("select count(*) from range(1000000) a, range(1000000) b where a.range * b.range < 0")

    @pytest.mark.parametrize(
        ("sql", "message"),
        [
            ("select modle.name from runs", "did you mean 'model.name'"),
            ("select 1; select 2", "not a single SELECT"),
            ("", "not a single SELECT"),
            ("select * from run", "the tables are runs, configurations"),
            ("select $1", "parameters"),
            ("selec 1", "cannot parse"),
            *(
                (statement, "not a single SELECT")
                for statement in (
                    "delete from runs", "create table x as select 1", "copy runs to '/tmp/x.csv'", "attach '/tmp/x.db'",
                    "install sqlite", "load sqlite", "set threads = 1", "reset threads", "pragma version",
                    "call pragma_version()", "explain select 1", "checkpoint",
                    "export database '/tmp/x'", "use main", "begin", "set variable a = 1",
                )
            ),
        ],
    )  # fmt: skip
    def test_anything_but_a_single_select_is_refused_in_one_line(self, sql: str, message: str) -> None:
        with pytest.raises(LeaderboardError, match=message) as refused:
            answer(sql)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize(
        "sql",
        [
            "select * from read_csv('/etc/passwd')", "select * from read_text('/etc/passwd')",
            "select * from read_blob('/etc/passwd')", "select * from read_json('/etc/passwd')",
            "select * from read_parquet('/etc/passwd')", "select * from glob('/*')",
            "select * from sniff_csv('/etc/passwd')", "from '/etc/passwd'", "select * from '/etc/passwd'",
            "select * from query('select * from read_csv(''/etc/passwd'')')", "select * from secret_of_python",
            "select * from sqlite_scan('mlflow.db', 'runs')", "select getenv('HOME')", "select * from duckdb_secrets()",
        ],
    )  # fmt: skip
    def test_no_select_reads_a_file_a_folder_or_a_variable(self, sql: str) -> None:
        secret_of_python = pd.DataFrame({"a": [1]})
        with pytest.raises(LeaderboardError):
            answer(sql)
        assert len(secret_of_python) == 1


secret_of_the_module = pd.DataFrame({"a": [1]})


class TestLock:
    """The database itself is locked, in case a statement passes the parser."""

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM read_text('/etc/passwd')", "FROM '/etc/passwd'",
            "SELECT * FROM glob('/*')", "COPY runs TO '{folder}/x.csv'", "COPY runs FROM '/etc/passwd'",
            "ATTACH '{folder}/x.db'", "EXPORT DATABASE '{folder}/x'", "IMPORT DATABASE '{folder}'",
            "INSTALL sqlite", "LOAD sqlite", "LOAD '{folder}/x.duckdb_extension'",
            "SET enable_external_access = true", "RESET enable_external_access", "SET lock_configuration = false",
            "SET autoload_known_extensions = true", "SET python_enable_replacements = true",
            "SET GLOBAL allowed_paths = ['/etc/passwd']", "SET temp_directory = '{folder}'", "SET threads = 1",
            "PRAGMA enable_profiling", "SELECT * FROM secret_of_the_module", "SELECT * FROM secret_here",
            "CREATE SECRET s (TYPE s3)",
        ],
    )  # fmt: skip
    def test_nothing_outside_is_reached_and_no_setting_can_be_changed(self, sql: str, tmp_path: Path) -> None:
        secret_here = pd.DataFrame({"a": [1]})
        with locked_database({"runs": arrow_of(TABLE)}) as database:
            with pytest.raises(duckdb.Error):
                database.execute(sql.format(folder=tmp_path))
            with pytest.raises(duckdb.Error):
                database.sql(sql.format(folder=tmp_path)).fetchall()  # type: ignore[union-attr]
            assert database.sql("SELECT count(*) FROM runs").fetchall() == [(4,)]
        assert list(tmp_path.iterdir()) == []
        assert len(secret_here) == len(secret_of_the_module)

    def test_a_large_result_leaves_nothing_on_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with locked_database({}) as database:
            assert database.sql("SELECT count(DISTINCT range) FROM range(300000)").fetchall() == [(300_000,)]
        assert list(tmp_path.iterdir()) == []
