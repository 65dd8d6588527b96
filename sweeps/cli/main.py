"""The `sweeps` command: its verbs and error messages."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from cifar_core.common.errors import UserError
from cifar_core.common.files import READ_ONLY
from sweeps.cli.check import check
from sweeps.cli.compare import compare
from sweeps.cli.completion import COMPLETE_VARIABLE, answer_shell, completion
from sweeps.cli.data import data
from sweeps.cli.doctor import doctor
from sweeps.cli.effects import effects
from sweeps.cli.evaluate import evaluate
from sweeps.cli.export import export
from sweeps.cli.finalize import finalize
from sweeps.cli.gc import gc
from sweeps.cli.import_record import import_record
from sweeps.cli.init import init
from sweeps.cli.inspect import inspect
from sweeps.cli.judge import judge
from sweeps.cli.ladder import ablate, ladder
from sweeps.cli.leaderboard import leaderboard, show, ui
from sweeps.cli.manage import list_sweeps, repair, rm, status, stop
from sweeps.cli.methods import methods
from sweeps.cli.note import note
from sweeps.cli.ordered_group import OrderedGroup
from sweeps.cli.plan import plan
from sweeps.cli.predict import predict
from sweeps.cli.replay import replay
from sweeps.cli.replicate import replicate
from sweeps.cli.report import report
from sweeps.cli.rerun import rerun
from sweeps.cli.retrain import retrain
from sweeps.cli.run import run
from sweeps.cli.schema import schema
from sweeps.cli.steer import add, pause, resume, set_limits, skip
from sweeps.cli.terminal import prepare_streams
from sweeps.cli.watch_page import watch
from sweeps.core.errors import SweepError, is_disk_full
from sweeps.core.exit_codes import ExitCode
from sweeps.system.machine import bypass_proxy_for_localhost, ensure_home

_ENVIRONMENT_ERRORS = (
    *READ_ONLY, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ENXIO, errno.ESTALE
)  # fmt: skip
"""Errors of a disk or a folder, not of this program."""


class Verbs(OrderedGroup):
    """The verbs. Errors of users and of the machine are printed in one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SweepError, UserError) as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(ExitCode.REFUSED)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(ExitCode.INTERRUPTED)
        except OSError as error:
            if is_disk_full(error):
                text = f"the disk is full ({error.strerror}). Free disk space."
            elif error.errno in _ENVIRONMENT_ERRORS and error.filename is not None:
                text = f"{error.filename} cannot be used ({error.strerror}). Check its owner and permissions."
            else:
                raise
            click.echo(f"error: {text}", err=True)
            ctx.exit(ExitCode.REFUSED)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Exit codes: {ExitCode.listed()}.",
)
@click.version_option(package_name="cifar-sweeps", prog_name="sweeps")
def sweeps() -> None:
    """Search, run and compare image-classification experiments on CIFAR-10.

    \b
    Show what a file would run, without training:
      sweeps plan experiments/quick.yaml
    Train it, and query the result:
      sweeps run experiments/quick.yaml
      sweeps leaderboard --where "model.name == 'resnet'"
    """


sweeps.add_section("View", plan, check, inspect, status, list_sweeps, leaderboard, show, compare, effects, replay, ui)
sweeps.add_section("Write", report, methods, note)
sweeps.add_section("Run", data, init, run, ladder, ablate, stop)
sweeps.add_section("Steer", watch, add, skip, set_limits, pause, resume)
sweeps.add_section("Confirm", replicate, judge, finalize, evaluate, rerun)
sweeps.add_section("Use", retrain, predict, export)
sweeps.add_section("Maintain", import_record, doctor, repair, gc, rm, schema, completion)


def main() -> None:
    """Run the command line, or answer a shell that completes one."""
    if COMPLETE_VARIABLE in os.environ:
        sys.exit(answer_shell(sweeps))
    prepare_streams()
    bypass_proxy_for_localhost()
    ensure_home()
    sys.exit(sweeps(prog_name="sweeps"))
