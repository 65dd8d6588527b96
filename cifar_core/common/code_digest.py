"""Hashes of code: for Python of its syntax tree, without comments, whitespace and docstrings."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

from cifar_core.common.errors import ModelError


def parse_python(content: bytes, path: Path, *, label: str) -> ast.Module:
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ModelError(f"{label}: {path}{line} is not valid Python: {error}") from None


def bytes_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def tree_digest(tree: ast.Module) -> str:
    """Return the hash of a file's code; comments, whitespace, docstrings and the Python version do not change it."""
    digest = hashlib.sha256()
    stack: list[object] = [tree]
    while stack:  # no recursion: a sum of a thousand terms is a thousand deep
        node = stack.pop()
        if isinstance(node, ast.AST):
            fields = [(name, _without_docstring(node, name, value)) for name, value in ast.iter_fields(node)]
            # Without empty fields: later versions of Python add some.
            present = [(name, value) for name, value in fields if value is not None and value != []]
            digest.update(f"{type(node).__name__} {len(present)}\n".encode())
            stack += reversed(present)
        elif isinstance(node, tuple):
            digest.update(f"{node[0]}\n".encode())
            stack.append(node[1])
        elif isinstance(node, list):
            digest.update(f"{len(node)}\n".encode())
            stack += reversed(node)
        else:
            digest.update(f"{node!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return value[1:] if ast.get_docstring(node, clean=False) is not None else value
    return value
