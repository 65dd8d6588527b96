"""A picture in a terminal: by the protocol that it speaks, else in half blocks of colour, else not at all."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from sweeps.formatting import truncated

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from rich.console import Console

Protocol = Literal["kitty", "iterm2", "sixel", "blocks", "none"]
PROTOCOLS: tuple[Protocol, ...] = ("kitty", "iterm2", "sixel", "blocks", "none")
_CHUNK = 4096
"""Characters of a piece of kitty's protocol, at most."""
_SIXEL_COLOURS = 255
_TILE, _GAP, _TILE_ROWS = 24, 2, 4
"""In blocks: characters that an image is wide, those between two, and rows of images at most."""


def protocol_of(environment: Mapping[str, str], *, is_terminal: bool) -> Protocol:
    """Return how the terminal shows pictures, by the variables that terminals set; asking it would hang on some.

    `none` where nobody sees a terminal, where it is a dumb one, or where `NO_COLOR` is set.
    """
    kind, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if not is_terminal or environment.get("NO_COLOR") or kind in ("", "dumb", "linux"):
        return "none"
    if "TMUX" in environment or "STY" in environment or kind.startswith(("tmux", "screen")):
        return "blocks"  # what stands between takes the other protocols away
    if "KITTY_WINDOW_ID" in environment or kind in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if "sixel" in kind or kind.partition("-")[0] in ("foot", "mlterm", "yaft", "contour"):
        return "sixel"
    return "blocks"


def show_picture(
    png: bytes, *, protocol: Protocol | Literal["auto"] = "auto", tiles: Sequence[tuple[str, np.ndarray]] = ()
) -> None:
    """Show a PNG on standard output.

    Args:
        png: the picture.
        protocol: how; `auto` asks the environment. Any other is obeyed, into a file too.
        tiles: the images on it with their names, H×W×3 uint8: shown in blocks, where the picture's writing could not
            be read; the picture itself where empty.
    """
    chosen = protocol_of(os.environ, is_terminal=sys.stdout.isatty()) if protocol == "auto" else protocol
    if chosen == "none":
        return
    if chosen == "blocks":
        _print_blocks(png, tiles, forced=protocol != "auto")
        return
    encode = {"kitty": _kitty, "iterm2": _iterm2, "sixel": _sixel}[chosen]
    sys.stdout.write(encode(png) + "\n")
    sys.stdout.flush()


def _kitty(png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    pieces = [data[begin : begin + _CHUNK] for begin in range(0, len(data), _CHUNK)]
    begins = ["a=T,f=100,"] + [""] * (len(pieces) - 1)
    return "".join(
        f"\x1b_G{begin}m={int(number < len(pieces) - 1)};{piece}\x1b\\"
        for number, (begin, piece) in enumerate(zip(begins, pieces, strict=True))
    )


def _iterm2(png: bytes) -> str:
    return f"\x1b]1337;File=inline=1;size={len(png)}:{base64.b64encode(png).decode('ascii')}\a"


def _sixel(png: bytes) -> str:
    """Return a picture as DEC's sixels: six rows at a time, colour after colour."""
    import numpy as np

    picture = _opened(png).quantize(_SIXEL_COLOURS)
    indices_HW = np.asarray(picture)
    height, width = indices_HW.shape
    palette = np.reshape(picture.getpalette() or [], (-1, 3))
    colours = "".join(
        f"#{number};2;{';'.join(str(round(value / 2.55)) for value in colour)}" for number, colour in enumerate(palette)
    )
    bands = (indices_HW[top : top + 6] for top in range(0, height, 6))
    body = "-".join("$".join(_sixel_rows(band)) for band in bands)
    return f'\x1bPq"1;1;{width};{height}{colours}{body}\x1b\\'


def _sixel_rows(band: np.ndarray) -> Iterator[str]:
    """Yield, for each colour of a band of at most six rows, where it stands."""
    import numpy as np

    bits = 1 << np.arange(len(band))[:, None]
    for colour in np.unique(band):
        columns = ((band == colour) * bits).sum(axis=0) + 63
        edges = np.flatnonzero(np.diff(columns)) + 1
        begins, ends = [0, *edges], [*edges, len(columns)]
        yield f"#{colour}" + "".join(
            f"!{end - begin}{chr(columns[begin])}" if end - begin > 3 else chr(columns[begin]) * (end - begin)
            for begin, end in zip(begins, ends, strict=True)
        )


def _print_blocks(png: bytes, tiles: Sequence[tuple[str, np.ndarray]], *, forced: bool) -> None:
    from PIL import Image

    from sweeps.cli.terminal import console
    from sweeps.formatting import make_console

    output = make_console(force_terminal=True, color_system="truecolor") if forced else console()
    if output.color_system not in ("truecolor", "256"):
        return  # sixteen colours show no picture
    if not tiles:
        picture = _opened(png)
        width = min(output.width, picture.width)
        height = max(1, round(picture.height * width / picture.width / 2))
        _print_row([("", picture)], output, width=width, height=height)
        return
    columns = max(1, (output.width + _GAP) // (_TILE + _GAP))
    shown = [(name, Image.fromarray(pixels)) for name, pixels in tiles[: columns * _TILE_ROWS]]
    for begin in range(0, len(shown), columns):
        _print_row(shown[begin : begin + columns], output, width=min(_TILE, output.width), height=_TILE // 2)


def _print_row(pictures: Sequence[tuple[str, Image]], output: Console, *, width: int, height: int) -> None:
    """Print pictures side by side: two rows of pixels a line, the upper in a half block, the lower behind it."""
    from PIL import Image
    from rich.segment import Segment, Segments
    from rich.style import Style

    small = [
        each.resize((width, 2 * height), Image.Resampling.BOX if each.width > width else Image.Resampling.NEAREST)
        for _, each in pictures
    ]
    segments = []
    for line in range(height):
        for each in small:
            above, below = (each.crop((0, row, width, row + 1)).tobytes() for row in (2 * line, 2 * line + 1))
            for at in range(0, 3 * width, 3):
                style = Style(color="#" + above[at : at + 3].hex(), bgcolor="#" + below[at : at + 3].hex())
                segments.append(Segment("▀", style))
            segments.append(Segment(" " * _GAP if each is not small[-1] else ""))
        segments.append(Segment.line())
    output.print(Segments(segments), end="")
    if any(name for name, _ in pictures):
        line_of_names = (" " * _GAP).join(truncated(name, width).ljust(width) for name, _ in pictures)
        output.print(line_of_names.rstrip(), markup=False, highlight=False, no_wrap=True)


def _opened(png: bytes) -> Image:
    from PIL import Image

    return Image.open(io.BytesIO(png)).convert("RGB")
