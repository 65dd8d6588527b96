"""What a file of code says, as a hash: of Python its syntax tree, without comments, blanks and docstrings."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

from cifar_core.common.errors import ModelError


def parsed(content: bytes, path: Path, *, network: str) -> ast.Module:
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ModelError(f"model {network!r}: {path}{line} is no Python: {error}") from None


def bytes_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def tree_digest(tree: ast.Module) -> str:
    """Return the hash of what a file says, whatever its comments, blanks, docstrings, and Python's version."""
    digest = hashlib.sha256()
    waiting: list[object] = [tree]
    while waiting:  # no recursion: a sum of a thousand terms is a thousand deep
        node = waiting.pop()
        if isinstance(node, ast.AST):
            fields = [(name, _without_docstring(node, name, value)) for name, value in ast.iter_fields(node)]
            # Without what is empty: later versions of Python know more fields.
            said = [(name, value) for name, value in fields if value is not None and value != []]
            digest.update(f"{type(node).__name__} {len(said)}\n".encode())
            waiting += reversed(said)
        elif isinstance(node, tuple):
            digest.update(f"{node[0]}\n".encode())
            waiting.append(node[1])
        elif isinstance(node, list):
            digest.update(f"{len(node)}\n".encode())
            waiting += reversed(node)
        else:
            digest.update(f"{node!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return value[1:] if ast.get_docstring(node, clean=False) is not None else value
    return value
