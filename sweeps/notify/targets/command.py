"""A command that receives the message on its standard input and in its environment."""

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
from sweeps.notify.targets.target import InvalidTargetError, NotificationError, Target, scheme_of

COMMAND_SECONDS = 30.0
"""Time limit of a command. The sweep continues meanwhile."""


class Command(Target):
    """Runs a command without a shell, in a new session, so that Ctrl-C does not reach it."""

    example = "an existing command"

    @staticmethod
    def accepts(text: str) -> bool:
        return scheme_of(text) is None

    def __init__(self, text: str) -> None:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise InvalidTargetError(f"the command has invalid quotes ({error})") from None
        if not words:
            raise InvalidTargetError("the text is empty")
        program = shutil.which(os.path.expanduser(words[0]))  # noqa: PTH111  a Path would lose the ./
        if program is None:
            # A part of a URL is not printed, since it may contain a secret.
            shown = "its first word" if re.search(r"[@?=:]", words[0]) else repr(words[0])
            raise InvalidTargetError(f"{shown} is not an executable command")
        self.label = Path(program).name
        self._command = [str(Path(program).absolute()), *words[1:]]

    def send(self, message: Message) -> None:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                # Its output would disturb the screen. The command can redirect it itself.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **message.environment()},
                start_new_session=True,
            )
        except OSError as error:
            raise NotificationError(error.strerror or "it cannot be started") from None
        try:
            process.communicate(message.as_json(), timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise NotificationError(f"it was killed after {COMMAND_SECONDS:.0f} s") from None
        if process.returncode:
            raise NotificationError(f"it exited with {process.returncode}")
