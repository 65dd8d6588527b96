"""The streams and the console that verbs print to."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sweeps.core.formatting import PLAIN_WIDTH, escaped, make_console

if TYPE_CHECKING:
    from rich.console import Console

_ASCII = "plain_ascii"
"""The codec `ascii` under another name: click takes `ascii` for a mistake, and writes UTF-8 instead."""
_REPLACED = "sweeps_plain"
_PLAIN = str.maketrans(
    {"–": "-", "−": "-", "—": "-", "×": "x", "…": "~", "→": ">", "±": "+-", "≥": ">=", "≤": "<=", "·": "."}
    | dict.fromkeys("▁▂▃▄▅▆▇█▀", "#")
)
"""What stands for a character that an encoding lacks; of one character where that can be: tables stay straight."""


def console() -> Console:
    """Return a console on standard output; `PLAIN_WIDTH` wide where that is not a terminal."""
    return make_console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def prepare_streams() -> None:
    """Let standard output and error take every text: in any encoding, and after the reader of a pipe has ended."""
    codecs.register(_find_ascii)
    codecs.register_error(_REPLACED, _replace)
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def _lasting(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by the shell: `sweeps list >&-`
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    stream.reconfigure(errors="backslashreplace")  # of `sys.__stdout__`, which others print to
    encoding = _ASCII if codecs.lookup(stream.encoding).name == "ascii" else stream.encoding
    file = io.BufferedWriter(_Lasting(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(file, encoding, errors=_REPLACED, line_buffering=stream.line_buffering)


class _Lasting(io.FileIO):
    """A file that can be written after its reader has ended, as `head` does; a full disk is reported once."""

    has_failed = False

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except BrokenPipeError:
            return len(content)
        except OSError:
            if self.has_failed:
                return len(content)
            self.has_failed = True
            raise


def _find_ascii(name: str) -> codecs.CodecInfo | None:
    if name != _ASCII:
        return None
    ascii_codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_codec.encode,
        ascii_codec.decode,
        incrementalencoder=ascii_codec.incrementalencoder,
        incrementaldecoder=ascii_codec.incrementaldecoder,
        name=_ASCII,
    )


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return an equivalent of the characters that cannot be encoded; an escape such as `\\xff` where there is none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return escaped(text).encode("ascii", "backslashreplace").decode("ascii"), error.end
