"""The charts of a report as files, for papers and slides: SVG, PDF or PNG."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_core.common.files import atomic_write
from sweeps.core.errors import SweepError
from sweeps.search.state import read_state
from sweeps.views.html.figure import CONFIG
from sweeps.views.html.write import read_content
from sweeps.views.ladder_plots import curves_figure, figure_bytes, ladder_figure

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader
    from sweeps.views.html.content import Content

FORMATS = ("svg", "pdf", "png")
WIDTH = 640
"""Width of a chart in pixels."""
_FONT = "Helvetica, Arial, Liberation Sans, sans-serif"
_PNG_SCALE = 2.0


def write_figures(
    reader: RecordReader, *, sweep: str, runs: Path, folder: Path, format: str = "svg"
) -> tuple[Path, ...]:
    """Write each chart of a sweep's report, or both figures of a ladder, into a folder; return the paths.

    Args:
        reader: Reader of the record.
        sweep: Name of the sweep or ladder.
        runs: The runs folder.
        folder: Created if missing.
        format: One of `FORMATS`.

    Raises:
        NoSuchSweepError: No sweep has this name.
        DamagedJournalError: Its journal cannot be read.
        SweepError: A file cannot be written.
    """
    content = read_content(reader, read_state(runs, sweep))
    drawn = _of_ladder(content, format) if content.is_ladder else _of_search(content, format)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in drawn.items():
            with atomic_write(folder / name) as file:
                file.write(picture)
    except OSError as error:
        raise SweepError(f"{folder} cannot be written ({error.strerror}). Name another folder with --figures") from None
    return tuple(folder / name for name in drawn)


def _of_ladder(content: Content, format: str) -> dict[str, bytes]:
    return {
        f"ladder.{format}": figure_bytes(ladder_figure(content.comparisons), format=format),
        f"curves.{format}": figure_bytes(curves_figure(content.rungs), format=format),
    }


def _of_search(content: Content, format: str) -> dict[str, bytes]:
    from sweeps.views.html.template import sections_of

    found = {}
    for anchor, _, write in sections_of(content):
        charts = _charts_in(write(content))
        for number, chart in enumerate(charts, start=1):
            found[f"{anchor}{f'-{number}' if len(charts) > 1 else ''}.{format}"] = _draw(chart, format)
    return found


class _Charts(HTMLParser):
    """Collects the JSON of the charts in a section of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self._is_json = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_json = tag == "script" and ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self._is_json:
            self.found.append(json.loads(data))

    def handle_endtag(self, tag: str) -> None:
        self._is_json = False


def _charts_in(section: str) -> list[dict[str, Any]]:
    parser = _Charts()
    parser.feed(section)
    parser.close()
    return [each for each in parser.found if "spec" in each]


def _draw(chart: dict[str, Any], format: str) -> bytes:
    """Return a chart, drawn in the light colours of the page."""
    import vl_convert

    rows = {
        name: [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        for name, columns in chart["rows"].items()
    }
    config = {**CONFIG, "background": "white", "font": _FONT}
    spec = {**chart["spec"], "datasets": rows, "width": WIDTH, "config": config}
    text = re.sub(r"var\(--([\w-]+)\)", lambda match: _colours()[match[1]], json.dumps(spec))
    if format == "svg":
        return vl_convert.vegalite_to_svg(text).encode()
    if format == "pdf":
        return vl_convert.vegalite_to_pdf(text)
    return vl_convert.vegalite_to_png(text, scale=_PNG_SCALE)


@cache
def _colours() -> dict[str, str]:
    """Return the light colours of the page's style sheet by their names."""
    style = files("sweeps.views.html").joinpath("page.css").read_text(encoding="utf-8")
    found = dict(re.findall(r"--([\w-]+):\s*([^;]+);", style))
    light = {name: re.sub(r"light-dark\(([^,]+),.*\)", r"\1", value) for name, value in found.items()}
    return {name: light.get(value.removeprefix("var(--").removesuffix(")"), value) for name, value in light.items()}
