"""`sweeps inspect models`: the names of networks."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from sweeps.cli.param_types import NETWORK_PATTERN
from sweeps.core.errors import SweepError


@click.command()
@click.argument(
    "pattern",
    type=NETWORK_PATTERN,
    default="*",
    help="Names to list, such as 'timm:*vit*'.  [default: the built-in networks]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def models(pattern: str, as_json: bool) -> None:
    """List the networks that model.name may name: built-in ones, and those of torchvision and timm.

    Networks of timm need `pip install timm`. For networks with pretrained weights, model.pretrained: true downloads
    them.

    \b
    Example:
      sweeps inspect models
      sweeps inspect models 'timm:*mobilenet*'
    """
    from cifar_core.models.names import networks_matching

    found = networks_matching(pattern)
    if not found:
        raise SweepError(f"no network matches {pattern!r}. `sweeps inspect models 'timm:*'` lists all of timm.")
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    width = max(len(each.name) for each in found)
    click.echo(f"{'model.name':{width}}  model.pretrained")
    for each in found:
        click.echo(f"{each.name:{width}}  {'yes' if each.can_be_pretrained else ''}".rstrip())
    if pattern == "*":
        click.echo("More: `sweeps inspect models 'torchvision:*'` and `sweeps inspect models 'timm:*'`")
