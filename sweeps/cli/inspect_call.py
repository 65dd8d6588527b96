"""`sweeps.inspect`: the pictures of `sweeps inspect` from Python, by the same commands and the same checks."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import click

from sweeps.cli.inspect import inspect as subjects
from sweeps.cli.picture_output import Picture
from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import SweepError


def inspect(
    subject: str,
    *names: str | int | Path,
    out: str | Path | None = None,
    runs: str | Path = DEFAULT_RUNS,
    **options: Any,
) -> Picture | None:
    """Return a picture of images, an augmentation, a network or its mistakes, which a notebook shows.

    Args:
        subject: a verb of `sweeps inspect`: `images`, `augment`, `summary`, `activations` or `mistakes`.
        names: what its command line names, in that order.
        out: also write the picture to this file, a PNG or an HTML page.
        runs: the runs folder.
        options: those of the command line with `_` for `-`; a flag is True, one that may be repeated takes a list.

    Returns:
        The picture, with its PNG and its table; None where there is nothing to show, as of a run without mistakes.

    Raises:
        SweepError: there is no such subject, name or option, or a value that it does not take.

    Example:
        >>> sweeps.inspect("images", seed=1)
        >>> sweeps.inspect("summary", "resnet", set=["model.width=16"]).table
        >>> sweeps.inspect("activations", "quick", "cat.jpg")
        >>> sweeps.inspect("mistakes", "quick", validation=True, count=12)
    """
    options = {"out": out, "runs": runs} | options
    words = [subject, *_typed(options), "--", *map(str, names)]
    pictures: list[Picture] = []
    # The printed output is also in the picture's notes and table. Warnings go to the other stream.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            subjects.main(words, prog_name="sweeps.inspect", standalone_mode=False, obj=pictures)
        except click.ClickException as error:
            raise SweepError(error.format_message()) from None
        except SystemExit:  # the exit code of a picture with a warning
            pass
    return pictures[-1] if pictures else None


def _typed(options: dict[str, Any]) -> list[str]:
    """Return options as command-line arguments, without those that are None or False."""
    words: list[str] = []
    for name, value in options.items():
        option = f"--{name.strip('_').replace('_', '-')}"
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [f"{option}={each}"]
    return words
