"""The text of a first file: a sweep or a ladder that runs as it is, each key with what it means behind it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cifar_core.config import TrainingConfig
from cifar_core.models.registry import ARCHITECTURES, is_import_path
from sweeps.spec.schema import FileKind, configuration_fields, schema_file
from sweeps.spec.yaml_file import flow_text

_COMMENT_AT = 50
"""Column of the comments; a longer line has its own two spaces behind it."""

_CHECKOUT = Path(__file__).parents[2]
_LEARNING_RATES = (0.003, 0.01, 0.03, 0.1)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large one trial is."""

    train_size: int
    validation_size: int
    epochs: int
    widths: tuple[int, ...]
    """Channels of the first convolution to choose from."""


@dataclass(frozen=True, kw_only=True)
class Starter:
    """What a person asked for, and how large it can be."""

    name: str
    time: str
    """As the file says it: 10m."""
    networks: tuple[str, ...]
    method: Literal["bayes", "random", "grid"] = "bayes"
    early: bool = True
    """Whether trials that lag behind are stopped."""
    replicates: int = 2
    """Of the best this many are trained again under as many new seeds; 0 for none."""
    around: TrainingConfig | None = None
    """A recorded configuration to search around, at its own size."""
    around_name: str = ""


def starter_text(starter: Starter, size: Size, *, path: Path, run_cap: int, cost: str) -> str:
    """Return a sweep's file.

    Args:
        starter: what was asked for.
        size: of each trial.
        path: where it will lie, for the first line.
        run_cap: trials.
        cost: what it will take, in words.
    """
    early = "asha, min_epochs: 1, reduction_factor: 3" if starter.early else "none"
    lines = [
        *_header(path, "sweep", cost),
        ("name", _quoted(starter.name), "of the sweep, and of its folder under runs/sweeps"),
        ("description", _quoted(_described(starter)), ""),
        ("method", starter.method, "bayes: learns from its trials | random | grid: all there are"),
        ("metric", "{name: val_accuracy, goal: maximize}", "or val_loss, train_loss: minimize"),
        ("run_cap", str(run_cap), "trials; a larger number extends the same sweep"),
        ("seed", "0", "of the search; that of the training is base.seed"),
        ("limits", f"{{timeout: {starter.time}}}", "stops then; the same command goes on. 2h, 1h30m, 90s"),
        ("early_terminate", f"{{type: {early}}}", "asha | hyperband | median | none"),
    ]
    if starter.replicates:
        again = f"{{top: {starter.replicates}, seeds: {starter.replicates}}}"
        lines.append(("replicates", again, "then the best again under new seeds, against luck"))
    lines += _around(starter.around) if starter.around is not None else _space(starter, size)
    return _aligned(lines)


def starter_ladder_text(starter: Starter, size: Size, *, path: Path, cost: str) -> str:
    """Return a ladder's file: a plain network, one change after the other, then the other networks."""
    first, *others = starter.networks
    width = size.widths[0]
    lines = [
        *_header(path, "ladder", cost),
        ("name", starter.name, "of the ladder, and of its folder under runs/sweeps"),
        ("description", "What each change to the one before brings", ""),
        ("limits", f"{{timeout: {starter.time}}}", "stops then; the same command goes on. 2h, 1h30m, 90s"),
        ("base", "", "what the first rung starts from: any field of a configuration"),
        ("  epochs", str(size.epochs), _meaning("epochs")),
        ("  model", _network(first, width), _values("model.name")),
        ("  data", f"{{train_size: {size.train_size}, normalization: none}}", _values("data.normalization")),
        ("  optimizer", "{name: sgd, lr: 0.02, momentum: 0.9}", _values("optimizer.name")),
        ("rungs", "", "in order, each a change to the one before or to the one it names"),
        ("  - name", "baseline", ""),
        ("  - name", "normalized", ""),
        ("    data", "{normalization: cifar10}", ""),
        ("  - name", "augmented", ""),
        ("    data", "{augmentation: flip-crop}", _values("data.augmentation")),
        ("  - name", "cosine", ""),
        ("    schedule", "{name: cosine}", _values("schedule.name")),
    ]
    for network in others:
        lines += [
            ("  - name", _rung_name(network), ""),
            ("    from", "cosine", "what it changes, and what its gain is taken against"),
            ("    model", _network(network, width), ""),
        ]
    return _aligned(lines)


def schema_reference(path: Path, kind: FileKind) -> str:
    """Return how a file's first line names its schema: relative inside of this checkout, which moves as a whole.

    Elsewhere the installed schema, as a URI: an editor reads no further than to the first space.
    """
    schema, folder = schema_file(kind).resolve(), path.resolve().parent
    if folder.is_relative_to(_CHECKOUT) and (_CHECKOUT / "pyproject.toml").is_file():
        return Path(os.path.relpath(schema, folder)).as_posix()
    return schema.as_uri()


Line = tuple[str, str, str]
"""Key with its indent, value, and what stands behind it as a comment; a comment alone has no key."""


def _header(path: Path, kind: FileKind, cost: str) -> list[Line]:
    verb = "run" if kind == "sweep" else "ladder"
    return [
        ("", "", f"yaml-language-server: $schema={schema_reference(path, kind)}"),
        ("", "", cost),
        ("", "", f"`sweeps plan {path.name}` shows what it would do, `sweeps {verb} {path.name}` does it;"),
        ("", "", f"`sweeps schema {kind}` has every key there is."),
    ]


def _space(starter: Starter, size: Size) -> list[Line]:
    images = f"{{train_size: {size.train_size}, validation_size: {size.validation_size}}}"
    lines: list[Line] = [
        ("base", "", "what every trial shares: any field of a training configuration"),
        ("  epochs", str(size.epochs), _meaning("epochs")),
        ("  data", images, "of CIFAR-10's 50,000 training images"),
        ("  optimizer", "{name: sgd, momentum: 0.9}", _values("optimizer.name")),
        ("  schedule", "{name: cosine}", _values("schedule.name")),
    ]
    networks, sized = starter.networks, [network for network in starter.networks if has_width(network)]
    if len(networks) == 1:
        lines.append(("  model", f"{{name: {_quoted(networks[0])}}}", _values("model.name")))
    lines.append(("parameters", "", "what varies: `values` to choose from, or a range from `min` to `max`"))
    if len(networks) > 1:
        lines.append(("  model.name", _list(networks), _values("model.name")))
    if sized:
        when = "" if len(sized) == len(networks) else f", when: {{model.name: [{', '.join(sized)}]}}"
        lines.append(("  model.width", _list(size.widths, more=when), "channels of the first convolution"))
    if starter.method == "grid":
        return [
            *lines,
            ("  optimizer.lr", _list(_LEARNING_RATES), _meaning("optimizer.lr")),
            ("  data.batch_size", _list((32, 128)), _meaning("data.batch_size")),
            ("  data.augmentation", _list(("none", "flip-crop")), _values("data.augmentation")),
        ]
    return [
        *lines,
        ("  optimizer.lr", "{min: 0.001, max: 0.3, distribution: log_uniform_values}", "drawn from its logarithm"),
        ("  optimizer.weight_decay", _list((0, 0.0005, 0.005)), ""),
        ("  data.batch_size", _list((32, 64, 128)), _meaning("data.batch_size")),
        ("  data.normalization", _list(("none", "cifar10", "imagenet")), ""),
        ("  data.augmentation", _list(("none", "flip", "flip-crop")), _values("data.augmentation")),
    ]


def _around(config: TrainingConfig) -> list[Line]:
    """Return the base and the parameters of a search around a configuration, which is tried first."""
    base = config.canonical() | {"seed": config.seed}
    lr, decay, batch = config.optimizer.lr, config.optimizer.weight_decay, config.data.batch_size
    decays = sorted({0.0, 0.0005, 0.005, decay})
    batches = sorted({max(1, batch // 2), batch, min(2 * batch, config.train_images())})
    start = f"- {{optimizer.lr: {lr!r}, optimizer.weight_decay: {decay!r}, data.batch_size: {batch}}}"
    wide = f"{{min: {lr / 4!r}, max: {lr * 4!r}, distribution: log_uniform_values}}"
    fields = [(f"  {block}", _flow(value), "") for block, value in base.items()]
    return [
        ("start_with", "", "tried first: the recorded configuration itself"),
        (f"  {start}", "", ""),
        ("base", "", "what every trial shares: as it was recorded"),
        *fields,
        ("parameters", "", "what varies: `values` to choose from, or a range from `min` to `max`"),
        ("  optimizer.lr", wide, "a quarter to four times of the recorded one"),
        ("  optimizer.weight_decay", _list(decays), ""),
        ("  data.batch_size", _list(batches), _meaning("data.batch_size")),
    ]


def has_width(network: str) -> bool:
    """Return whether a network of this name takes a width."""
    return not is_import_path(network) and "width" in ARCHITECTURES[network].defaults


def _network(network: str, width: int) -> str:
    sized = f", width: {width}" if has_width(network) else ""
    return f"{{name: {_quoted(network)}{sized}}}"


def _rung_name(network: str) -> str:
    return network.replace(":", "-").replace("_", "-")


def _described(starter: Starter) -> str:
    if starter.around is not None:
        return f"Around {starter.around_name}: learning rate, weight decay, batch size"
    return f"Which of {', '.join(starter.networks)}, how wide, how trained"


def _meaning(path: str) -> str:
    text = str(configuration_fields()[path]["description"]).rstrip(".")
    return text[:1].lower() + text[1:]


def _values(path: str) -> str:
    """Return what a field may be, from its schema: what is listed here is what is read."""
    field = configuration_fields()[path]
    listed = next(part["enum"] for part in (field, *field.get("anyOf", ())) if "enum" in part)
    own = " | my:Net" if path == "model.name" else ""
    return " | ".join(map(str, listed)) + own


def _list(values: Iterable[Any], *, more: str = "") -> str:
    return f"{{values: [{', '.join(map(_quoted, values))}]{more}}}"


def _quoted(value: Any) -> str:
    """Return a scalar as YAML has it inside of braces; text in quotes only where it needs them."""
    return _flow([value])[1:-1]


def _flow(value: Any) -> str:
    """Return a value in one line of YAML."""
    # Through JSON: tuples are lists there.
    plain = json.loads(json.dumps(value))
    return flow_text(plain)


def _aligned(lines: Sequence[Line]) -> str:
    text = []
    for key, value, comment in lines:
        if not key:
            text.append(f"# {comment}")
            continue
        line = f"{key}: {value}".rstrip() if not key.lstrip().startswith("- {") else key
        text.append(f"{line:<{_COMMENT_AT - 2}}  # {comment}" if comment else line)
    return "\n".join(text) + "\n"
