"""Write pictures of `sweeps inspect` as PNG, PDF, SVG or HTML page, and print their paths."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.options import runs_option
from sweeps.core.errors import SweepError
from sweeps.pictures.style import drawn_as

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "inspect"
"""Folder under the runs folder for pictures without `--out`."""
_VECTORS = (".pdf", ".svg")
_SUFFIXES = (".png", *_VECTORS, ".html")
_LONGEST = 80


class _PictureFile(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix.lower() not in _SUFFIXES:
            self.fail(f"{str(path)!r} must end with {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}", param, ctx)
        return path


def picture_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of all pictures to a command: `out`, `opens` and `runs`."""
    out = click.option(
        "--out",
        type=_PictureFile(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="FILE.png, .pdf or .svg, or FILE.html for a page.  [default: a PNG in inspect/ in the runs folder]",
    )
    opens = click.option("--open", "opens", is_flag=True, help="Open the file.")

    @functools.wraps(command)
    def drawn(*args: Any, out: Path | None, **options: Any) -> Any:
        suffix = "" if out is None else out.suffix.lower()
        with drawn_as(suffix[1:]) if suffix in _VECTORS else contextlib.nullcontext():
            return command(*args, out=out, **options)

    return out(opens(runs_option(drawn)))


@dataclass(frozen=True, kw_only=True, repr=False)
class Picture:
    """A picture, with the texts of its page."""

    png: bytes
    """The picture; a PDF or an SVG if it was drawn for such a file."""
    name: str
    """Name of its file without `--out`, before `file_name`."""
    title: str
    alt: str
    """Alternative text."""
    notes: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: Sequence[Sequence[str]] = ()

    @property
    def table(self) -> pd.DataFrame:
        """The table below the picture, as strings."""
        import pandas as pd

        return pd.DataFrame([list(row) for row in self.rows], columns=list(self.headings))

    def __repr__(self) -> str:
        return f"{self.title}: {self.alt}"

    def _repr_png_(self) -> bytes | None:
        return self.png if self.png.startswith(b"\x89PNG") else None


def is_drawn(out: Path | None, *, opens: bool = False) -> bool:
    """Return whether an optional picture is requested."""
    return out is not None or opens or isinstance(click.get_current_context().obj, list)


def deliver(picture: Picture, *, out: Path | None, opens: bool, runs: Path) -> None:
    """Write a picture, print its path, and open it if `opens`.

    If the context's object is a list, as in a call from Python, the picture is appended to it and only written if `out`
    is given.

    Raises:
        SweepError: the file cannot be written.
    """
    from cifar_core.common.files import atomic_write
    from sweeps.pictures.page import picture_page

    collected = click.get_current_context().obj
    if isinstance(collected, list):
        collected.append(picture)
        if out is None:
            return

    path = runs / FOLDER / f"{file_name(picture.name)}.png" if out is None else out
    content = picture.png
    if path.suffix.lower() == ".html":
        content = picture_page(
            picture.png,
            title=picture.title,
            alt=picture.alt,
            notes=picture.notes,
            headings=picture.headings,
            rows=picture.rows,
        ).encode("utf-8")
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise SweepError(
            f"{path} cannot be written ({error.strerror or error}). Choose another file with --out."
        ) from None
    click.echo(str(path))
    if opens and click.launch(str(path)):
        click.echo("no program for this file found. Open it manually.", err=True)


def file_name(text: str) -> str:
    """Return a text as a file name of at most 80 letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_LONGEST] or "picture"
