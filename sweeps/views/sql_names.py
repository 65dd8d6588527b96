"""Columns and trials by the names that screens show, resolved on DuckDB's tree of a statement.

`model.name` is to SQL the column `name` of a table `model`; here it is one column. What a statement itself defines (an
alias, a parameter of a lambda, a table of its WITH) keeps its meaning.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sweeps.errors import LeaderboardError
from sweeps.views.columns import closest_columns, column_named, spoken_columns

Node = dict[str, Any]

TRIAL = "trial"


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a statement calls its tables and values, in lower case; the tables that it reads as they were written."""

    base_tables: tuple[str, ...]
    tables: frozenset[str]
    """Of tables, their aliases and subqueries: what may stand before a column's name."""
    defined: frozenset[str]
    """Tables of a WITH."""
    aliases: frozenset[str]
    """Of values: `max(x) as best`, the parameters of lambdas, columns that a table's alias renames."""

    @classmethod
    def of(cls, tree: Node) -> Names:
        """Return the names of a tree."""
        base: list[str] = []
        tables: set[str] = set()
        defined: set[str] = set()
        aliases: set[str] = set()
        for node in nodes(tree):
            alias = node.get("alias") or ""
            if "table_name" in node and node.get("type") == "BASE_TABLE":
                base.append(node["table_name"])
                tables |= {alias, node["table_name"]}
            if node.get("type") == "LAMBDA":
                aliases |= {part for each in nodes(node["lhs"]) for part in each.get("column_names", ())}
            if isinstance(node.get("cte_map"), dict):
                defined |= {entry["key"] for entry in node["cte_map"]["map"]}
            if "sample" in node and "select_list" not in node:
                tables.add(alias)
            elif alias:
                aliases.add(alias)
            for field in ("column_name_alias", "aliases"):
                aliases |= {name for name in node.get(field) or () if isinstance(name, str)}
        return cls(
            base_tables=tuple(base),
            tables=_lower(tables | defined),
            defined=_lower(defined),
            aliases=_lower(aliases),
        )

    def with_table(self, name: str) -> Names:
        """Return these names, and a table's."""
        return Names(
            base_tables=self.base_tables, tables=self.tables | {name}, defined=self.defined, aliases=self.aliases
        )


def nodes(tree: Any) -> Iterator[Node]:
    """Yield every node of a tree, those above first."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def resolve(tree: Node, *, columns: Sequence[str], names: Names) -> list[str]:
    """Let every name in a tree name a column as DuckDB finds it; return the columns that are named, each once.

    A trial that is compared with a text is compared by its name: `trial = 'quick-001'`.

    Raises:
        LeaderboardError: on a dotted name that no column has, a short one that several have, and on `= null`.
    """
    resolution = _Resolution(columns, names)
    found = list(nodes(tree))
    own = set(_inside_their_alias(found))
    for node in found:
        _refuse_equal_to_null(node)
        if node.get("type") == "COLUMN_REF":
            node["column_names"] = resolution.parts(node, is_aliased=id(node) in own)
        if node.get("class") == "STAR":
            resolution.exclude(node)
    for node in found:
        _name_trials(node)
    return list(dict.fromkeys(resolution.used))


class _Resolution:
    def __init__(self, columns: Sequence[str], names: Names) -> None:
        self._columns = list(columns)
        self._names = names
        self._by_lower = {column.lower(): column for column in columns}
        self._spoken = spoken_columns(self._columns)
        self.used: list[str] = []

    def parts(self, node: Node, *, is_aliased: bool) -> list[str]:
        """Return the parts of a reference: table where one is named, column, fields of its value.

        Args:
            node: the reference.
            is_aliased: whether it is part of what the statement gives that name, and so means a column.
        """
        parts: list[str] = node["column_names"]
        found = self._column(parts)
        if found is not None:
            return found
        aliases = frozenset[str]() if is_aliased else self._names.aliases
        if len(parts) > 1 and parts[0].lower() in self._names.tables:
            if parts[1].lower() in aliases:
                return parts
            return parts[:1] + (self._column(parts[1:]) or [self._short(parts[1]), *parts[2:]])
        is_own = parts[0].lower() in aliases
        if is_own or (len(parts) == 1 and parts[0].lower() in self._names.tables):
            return parts
        if len(parts) == 1:
            return [self._short(parts[0])]
        name = ".".join(parts)
        raise LeaderboardError(f"unknown column {name!r}: {closest_columns(name, self._columns)}")

    def exclude(self, star: Node) -> None:
        """Let `* exclude (optimizer.lr)` leave out that column."""
        dotted = [self._column(names) for names in map(_parts_of, star.get("qualified_exclude_list") or ())]
        words = [self._short(name) for name in star.get("exclude_list") or ()]
        if None not in dotted:
            star["qualified_exclude_list"] = []
            star["exclude_list"] = words + [parts[0] for parts in dotted if parts]

    def _column(self, parts: list[str]) -> list[str] | None:
        for count in range(len(parts), 0, -1):
            column = self._by_lower.get(".".join(parts[:count]).lower())
            # One that is also a table's name stands before a point as that.
            is_table = count == 1 < len(parts) and parts[0].lower() in self._names.tables
            if column is not None and not is_table:
                self.used.append(column)
                return [column, *parts[count:]]
        return None

    def _short(self, name: str) -> str:
        """Return the column whose heading or last part a word is, the word where there is none: DuckDB refuses it."""
        if name.lower() in self._by_lower:
            return self._by_lower[name.lower()]
        if not self._spoken.get(re.sub(r"\s+", "_", name.lower().replace("±", "").replace("%", "").strip())):
            return name
        column = column_named(name, self._columns)
        self.used.append(column)
        return column


def _inside_their_alias(found: Iterable[Node]) -> Iterator[int]:
    """Yield the id of each reference that stands in what is named like it: both `lr` in `max(lr) as lr`."""
    for node in found:
        alias = (node.get("alias") or "").lower()
        if alias and "sample" not in node:
            for inner in nodes(node):
                if alias in map(str.lower, inner.get("column_names") or ()):
                    yield id(inner)


def _parts_of(reference: Node) -> list[str]:
    return [reference[part] for part in ("catalog", "schema", "table", "column") if reference.get(part)]


def _refuse_equal_to_null(node: Node) -> None:
    if node.get("type") not in ("COMPARE_EQUAL", "COMPARE_NOTEQUAL"):
        return
    for side in (node.get("left"), node.get("right")):
        if isinstance(side, dict) and side.get("literal", {}).get("kind") == "NULL_LITERAL":
            raise LeaderboardError("nothing equals null: write `is null` or `is not null`")


def _name_trials(node: Node) -> None:
    """Put the name of a trial in the place of its number, where it stands beside a text that is no number."""
    places = list(_operands(node))
    texts = [literal for _, _, operand in places for literal in _texts(operand)]
    if not any(not literal["text"].strip().lstrip("+-").isdecimal() for literal in texts):
        return
    trials = [place for place in places if _is_trial(place[2])]
    if not trials:
        return
    for holder, key, operand in trials:
        holder[key] = _name_of_trial(operand["column_names"][:-1])
    for literal in texts:
        literal["text"] = re.sub(
            r"^([^/]+)/(\d+)(-s\d+)?$", lambda m: f"{m[1]}-{int(m[2]):03d}{m[3] or ''}", literal["text"]
        )


def _operands(node: Node) -> Iterator[tuple[Any, Any, Node]]:
    """Yield where each operand of a comparison or an operator stands, and it."""
    for field in ("left", "right", "input", "lower", "upper"):
        if isinstance(node.get(field), dict):
            yield node, field, node[field]
    children = node.get("children")
    if isinstance(children, list):
        yield from ((children, index, child) for index, child in enumerate(children) if isinstance(child, dict))
    if node.get("type") == "FUNCTION" and node.get("function_name") in _COMPARING:
        yield from ((argument, "expression", argument["expression"]) for argument in node.get("arguments", ()))


_COMPARING = (
    "contains", "~~", "!~~", "~~*", "!~~*", "~~~", "starts_with", "prefix", "suffix", "ends_with", "regexp_matches",
    "regexp_full_match", "^@",
)  # fmt: skip


def _texts(node: Node) -> list[Node]:
    """Return the texts that an operand is, or that a list consists of."""
    if node.get("function_name") in ("list_value", "row"):
        return [text for argument in node.get("arguments", ()) for text in _texts(argument["expression"])]
    literal = node.get("literal") or {}
    return [literal] if literal.get("kind") == "STRING" else []


def _is_trial(node: Node) -> bool:
    return node.get("type") == "COLUMN_REF" and node["column_names"][-1] == TRIAL


def _name_of_trial(table: list[str]) -> Node:
    """Return what a table shows as a trial's name, as an expression over columns of the same table."""
    expression = copy.deepcopy(_naming())
    for node in nodes(expression):
        if node.get("type") == "COLUMN_REF":
            node["column_names"] = [*table, *node["column_names"]]
    return expression


@cache
def _naming() -> Node:
    from contextlib import closing

    import duckdb

    with closing(duckdb.connect(":memory:")) as database:
        row = database.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT {_NAMING}"]).fetchone()
    assert row is not None, "a SELECT of a constant has a row"
    expression: Node = json.loads(row[0])["statements"][0]["node"]["select_list"][0]
    return expression


_NAMING = """
coalesce(rung, sweep || '-' || printf('%03d', trial)
    || CASE WHEN replicate_of IS NULL THEN '' ELSE '-s' || seed::VARCHAR END)
"""
"""As `sweeps.identity.trial_name` and the table write it."""


def _lower(names: set[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names if name)
