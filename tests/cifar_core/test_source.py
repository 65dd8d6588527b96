"""The files of a custom network: which of them enter its hash, and that no others are executed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from cifar_core import TrainingConfig, load_checkpoint, save_checkpoint, start
from cifar_core.checkpoint import load_network
from cifar_core.common.errors import ModelError, SourceChangedError
from cifar_core.config import ModelConfig
from cifar_core.models.build import build_model
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.models.source import source_of
from cifar_core.results import EpochResult

Write = Callable[..., None]

NET = """
from torch import nn
{imports}

class Net(nn.Module):
    def __init__(self, num_classes: int = 10, w: str = ""):
        super().__init__()
        {body}
        self.head = nn.Linear(3072, num_classes)

    def forward(self, images):
        return self.head({call}(images.flatten(1)))
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into the current folder; `a__b` is b.py in a, `a__init` its first file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(tmp_path))])
    before = set(sys.modules)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path = path.with_name("__init__.py") if path.stem == "init" else path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def net(imports: str = "", *, body: str = "pass", call: str = "") -> str:
    return NET.format(imports=imports, body=body, call=call)


def files(name: str = "own_net:Net", **options: str) -> dict[str, str]:
    source = source_of(ModelConfig(name=name, options=dict(options)))
    return {} if source is None else dict(source.files)


IMPORTS = {
    "import": ("import own_part", {"own_part.py"}),
    "of a package": ("import own_pack.part.deep", {"own_pack/__init__.py", "own_pack/part/deep.py"}),
    "from a package": ("from own_pack import side", {"own_pack/__init__.py", "own_pack/side.py"}),
    "of a name in it": ("from own_pack.side import x", {"own_pack/__init__.py", "own_pack/side.py"}),
    "with a star": ("from own_pack import *", {"own_pack/__init__.py", "own_pack/side.py"}),
    "within a function": ("def f():\n    from own_part import x", {"own_part.py"}),
    "within a try": ("try:\n    import own_part\nexcept ImportError:\n    pass", {"own_part.py"}),
    "by import_module": ("import importlib\ndef f(): importlib.import_module('own_part')", {"own_part.py"}),
    "by __import__": ("def f(): __import__('own_part')", {"own_part.py"}),
    "installed": ("import torch, numpy.linalg, json, cifar_core, sweeps", set()),
    "not there": ("def f():\n    import nowhere_at_all", set()),
}


@pytest.mark.parametrize("how", IMPORTS)
def test_every_imported_user_file_is_part_of_the_source(write: Write, how: str) -> None:
    line, expected = IMPORTS[how]
    write(own_net=net(line), own_part="x = 1", own_pack__init="", own_pack__side="x = 1", own_pack__part__deep="")

    assert set(files()) == {"own_net.py"} | expected


def test_relative_imports_and_imports_of_imports_are_followed(write: Write) -> None:
    write(
        own_pack__init="from . import a",
        own_pack__inner__net="from ..b import x\nfrom .c import y",
        own_pack__inner__c="import own_far",
    )
    write(own_pack__a="", own_pack__b="x = 1", own_far="import own_pack.d", own_pack__d="", own_pack__unused="")

    inner = {"own_pack/inner/net.py", "own_pack/inner/c.py"}
    expected = {"own_pack/__init__.py", "own_pack/a.py", "own_pack/b.py", "own_far.py", "own_pack/d.py"} | inner
    assert set(files("own_pack.inner.net:Net")) == expected


@pytest.mark.parametrize(
    ("text", "is_the_same"),
    [
        ("# a comment\nx = 1\n\n\ndef f(a):\n    # why\n    return  a+1\n", True),
        ('"""Says what it is."""\nx = 1\ndef f(a):\n    """Adds."""\n    return (a + 1)\n', True),
        ("x = 2\ndef f(a):\n    return a + 1\n", False),
        ("x = 1\ndef f(a):\n    return a + 1.0\n", False),
        ("x = 1\ndef f(b):\n    return b + 1\n", False),
        ("def f(a):\n    return a + 1\nx = 1\n", False),
        ("x = None\ndef f(a):\n    return a + 1\n", False),
    ],
)
def test_comments_blanks_and_docstrings_change_nothing_and_all_else_does(
    write: Write, text: str, is_the_same: bool
) -> None:
    write(own_net=net("import own_part"), own_part="x = 1\ndef f(a):\n    return a + 1\n")
    before = files()
    write(own_part=text)

    assert (files() == before) == is_the_same


def test_a_sum_of_thousands_of_terms_has_a_hash(write: Write) -> None:
    write(own_net="x = " + " + ".join(["1"] * 900))
    assert set(files()) == {"own_net.py"}


def test_no_file_is_executed_and_invalid_python_is_named(write: Write) -> None:
    write(own_pack__init="raise SystemExit", own_pack__net="import own_part", own_part="raise SystemExit")
    assert len(files("own_pack.net:Net")) == 3

    write(own_part="x = = 1")
    with pytest.raises(ModelError, match=r"own_part\.py, line 1 is not valid Python"):
        files("own_pack.net:Net")


def test_a_file_that_an_option_or_weights_name_counts_with_its_content(write: Write, tmp_path: Path) -> None:
    write(own_net=net())
    (tmp_path / "w.pt").write_bytes(b"1")
    model = ModelConfig(name="torchvision_vgg16", weights="w.pt")
    first = files(w="w.pt"), source_of(model)
    (tmp_path / "w.pt").write_bytes(b"2")

    assert set(first[0]) == {"own_net.py", "w.pt"}
    assert files(w="w.pt") != first[0]
    assert source_of(model) != first[1]
    assert set(files(w="relu")) == set(files(w="gone.pt")) == {"own_net.py"}
    assert source_of(model.model_copy(update={"weights": "IMAGENET1K_V1"})) is None


def test_a_module_named_like_one_of_the_standard_library_is_reported(write: Write, tmp_path: Path) -> None:
    write(code=net())
    with pytest.raises(ModelError, match=r"imports 'code' from its standard library .*/code\.py.*my_code\.py"):
        files("code:Net")

    write(types="x = 1", own_net=net("from types import x"))
    with pytest.raises(ModelError, match=rf"Python imports .*/types\.py instead of {tmp_path}/types\.py: rename it"):
        build_model(ModelConfig(name="own_net:Net"))


def test_an_edit_is_imported_whatever_its_size_and_time(write: Write, tmp_path: Path) -> None:
    write(own_net=net("from own_part import f", call="f"), own_part="def f(x):\n    return x * 0 + 1\n")
    config = ModelConfig(name="own_net:Net")
    images = torch.zeros(1, 3, 32, 32)
    first = build_model(config)
    first(images)
    times = (tmp_path / "own_part.py").stat()
    write(own_part="def f(x):\n    return x * 0 + 2\n")
    os.utime(tmp_path / "own_part.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    second = build_model(config)
    second.load_state_dict(first.state_dict())

    assert torch.allclose(second(images) - second.head.bias, 2 * (first(images) - first.head.bias), atol=1e-5)


def test_a_file_that_changes_while_it_is_imported_is_refused(write: Write) -> None:
    late = "import pathlib; pathlib.Path('own_part.py').write_text('x = 2')"
    write(own_net=net(f"{late}\nimport own_part"), own_part="x = 1")

    with pytest.raises(SourceChangedError, match=r"own_part\.py changed while it was imported"):
        build_model(ModelConfig(name="own_net:Net"))


def test_weights_never_go_into_a_network_of_other_code(write: Write, tmp_path: Path) -> None:
    write(own_net=net("from own_part import f", call="f"), own_part="def f(x): return x.relu()")
    config = TrainingConfig.model_validate({"model": {"name": "own_net:Net"}, "epochs": 1})
    path = tmp_path / "state.pt"
    save_checkpoint(start(config, train_size=10, device="cpu"), path)
    load_network(path, device="cpu")
    load_checkpoint(path, device="cpu")

    write(own_part="def f(x): return x.sigmoid()")

    for load in (load_network, load_checkpoint):
        with pytest.raises(
            SourceChangedError, match=r"own_net:Net differs from that of the weights.*own_part\.py has changed"
        ):
            load(path, device="cpu")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("self.many = [nn.Linear(2, 2)]", "many is a list that contains a Linear"),
        ("self.many = {'a': (nn.Linear(2, 2),)}", "many is a dict that contains a Linear"),
        ("self.many = [nn.Parameter(__import__('torch').ones(1))]", "many is a list that contains a Parameter"),
    ],
)
def test_layers_that_torch_does_not_register_are_rejected(write: Write, body: str, said: str) -> None:
    write(own_net=net(body=body))
    with pytest.raises(ModelError, match=f"{said}, which torch does not register"):
        build_model(ModelConfig(name="own_net:Net"))

    write(own_net=net(body="self.known = nn.Linear(2, 2); self.many = [self.known]"))
    build_model(ModelConfig(name="own_net:Net"))


@pytest.mark.parametrize(
    "body",
    [
        "self.acts = {'relu': nn.ReLU(), 'gelu': nn.GELU()}",
        "self.pools = [nn.MaxPool2d(2), (nn.AvgPool2d(2),)]",
        "self.teacher = [nn.Linear(2, 2).requires_grad_(False)]",
        "self.known = nn.Linear(2, 2); self.many = [nn.Sequential(self.known)]",
    ],
)
def test_layers_with_nothing_to_train_may_be_hidden_from_torch(write: Write, body: str) -> None:
    write(own_net=net(body=body))

    build_model(ModelConfig(name="own_net:Net"))


def test_initial_weights_of_a_builtin_network_are_needed_only_in_training(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "torchvision_vgg16"
    # The real one takes a gigabyte.
    write(small_vgg=net().replace('w: str = ""', "weights=None, **rest").replace("pass", "weights and open(weights)"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ARCHITECTURES, name, replace(ARCHITECTURES[name], path="small_vgg:Net"))
    (tmp_path / "w.pt").touch()
    config = TrainingConfig.model_validate({"model": {"name": name, "weights": "w.pt"}, "epochs": 1})
    state = start(config, train_size=10, device="cpu")
    save_checkpoint(state, tmp_path / "begun.pt")
    numbers = dict.fromkeys([field.name for field in fields(EpochResult)], 1.0)
    state.history.append(EpochResult(**numbers | {"epoch": 1, "val_confusion": None}))  # type: ignore[arg-type]
    save_checkpoint(state, tmp_path / "over.pt")
    (tmp_path / "w.pt").unlink()

    over = load_checkpoint(tmp_path / "over.pt", device="cpu")
    assert (over.config, over.source, over.epoch) == (config, state.source, 1)
    with pytest.raises(SourceChangedError, match=r"w\.pt was removed"):
        load_checkpoint(tmp_path / "begun.pt", device="cpu")


@pytest.mark.parametrize(
    "text",
    [net("import sys; sys.exit(3)"), net(body="import sys; sys.exit(3)"), net(call="__import__('sys').exit")],
    ids=["import", "constructor", "forward"],
)
def test_sys_exit_in_a_network_is_its_error_and_ends_nothing(write: Write, text: str) -> None:
    write(own_net=text)
    with pytest.raises(ModelError, match=r"sys\.exit"):
        build_model(ModelConfig(name="own_net:Net"))
