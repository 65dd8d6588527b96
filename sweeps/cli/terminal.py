"""Output streams and console of the command line."""

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
"""Another name for the codec `ascii`, which click replaces with UTF-8."""
_REPLACED = "sweeps_plain"
_PLAIN = str.maketrans(
    {"–": "-", "−": "-", "—": "-", "×": "x", "…": "~", "→": ">", "±": "+-", "≥": ">=", "≤": "<=", "·": "."}
    | dict.fromkeys("▁▂▃▄▅▆▇█▀", "#")
)
"""Replacements of characters that an encoding lacks, of the same width where possible, to keep tables aligned."""


def console() -> Console:
    """Return a console on standard output, with `PLAIN_WIDTH` if it is not a terminal."""
    return make_console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def prepare_streams() -> None:
    """Make standard output and error accept all characters, and ignore closed pipes."""
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
    """A file that ignores writes to a closed pipe, and reports a full disk only once."""

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
    """Return a replacement for characters that cannot be encoded, or an escape such as `\\xff`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return escaped(text).encode("ascii", "backslashreplace").decode("ascii"), error.end
