"""A command that finds the message on its standard input and in its environment."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from sweeps.notify.message import Message
from sweeps.notify.targets.target import NotToldError, Target, WrongTargetError, scheme_of

COMMAND_SECONDS = 30.0
"""How long a command may take while the sweep goes on."""


class Command(Target):
    """Runs it without a shell, in a session of its own: Ctrl-C in the terminal is not for it."""

    example = "a command that is there"

    @staticmethod
    def takes(text: str) -> bool:
        return scheme_of(text) is None

    def __init__(self, text: str) -> None:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise WrongTargetError(f"a command that no shell would take ({error}): check its quotes") from None
        if not words:
            raise WrongTargetError("is empty")
        program = shutil.which(os.path.expanduser(words[0]))  # noqa: PTH111  a Path would lose the ./
        if program is None:
            # What looks like a part of an address is not printed: it may hold a secret.
            shown = "its first word" if re.search(r"[@?=:]", words[0]) else repr(words[0])
            raise WrongTargetError(f"{shown} is no command that can be run here")
        self.label = Path(program).name
        self._command = [str(Path(program).absolute()), *words[1:]]

    def tell(self, message: Message) -> None:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                # What it prints would tear the screen; where it should be kept, the command itself can say so.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **message.environment()},
                start_new_session=True,
            )
        except OSError as error:
            raise NotToldError(error.strerror or "it cannot be started") from None
        try:
            process.communicate(message.as_json(), timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise NotToldError(f"not done after {COMMAND_SECONDS:.0f} s, so it was ended") from None
        if process.returncode:
            raise NotToldError(f"it exited with {process.returncode}")
