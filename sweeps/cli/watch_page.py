"""`sweeps watch`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from sweeps.cli.options import A_SWEEP, runs_option
from sweeps.cli.param_types import SweepName
from sweeps.core.errors import SweepError


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port.  [default: a free one]")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
def watch(sweep: str, runs: Path, port: int, opens: bool) -> None:
    """Show a sweep on a web page that updates each second, with buttons to steer it.

    They pause it, skip a trial, and change the number of slots. The page is served on 127.0.0.1 until Ctrl-C, and its
    address contains a token: it cannot be opened without the address. The sweep does not depend on it.

    \b
    Example:
      sweeps watch quick --open
    """
    from sweeps._api.live_commands import LiveCommands
    from sweeps.views.live.reading import SweepReader
    from sweeps.views.live.web import WatchServer

    reader = SweepReader(sweep, runs=runs)
    reader.live_state()  # raises for an unknown sweep
    try:
        server = WatchServer(reader.live_state, LiveCommands(sweep, runs=runs), port=port)
    except OSError as error:
        raise SweepError(
            f"port {port} cannot be used ({error.strerror or error}). Choose another with --port."
        ) from None
    click.echo(f"{sweep}: {server.address}\nCtrl-C ends the page, not the sweep.")
    if opens:
        import webbrowser

        if not webbrowser.open(server.address):
            click.echo("no browser found. Open the address manually.", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()
