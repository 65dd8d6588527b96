"""Run the steps of docs/cluster/Dockerfile without Docker, in a folder.

A new virtual environment replaces the base image's Python, subfolders replace the image's folders. Steps that need root
(system packages, the user) are skipped with a message. It takes some minutes and up to 6.5 GB:

    python benchmarks/image_steps.py --folder /tmp/image --build-arg TORCH_INDEX=https://pypi.org/simple
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "docs" / "cluster" / "Dockerfile"
NEEDS_ROOT = ("apt-get", "useradd")
VERSIONS = "import ray, torch, sweeps, psycopg, boto3; print('ray', ray.__version__, 'torch', torch.__version__)"


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines if line]


def build(folder: Path, arguments: dict[str, str]) -> None:
    """Execute every instruction.

    Raises:
        subprocess.CalledProcessError: a step failed, as it would in the image.
    """
    python = folder / "python"
    venv.create(python, with_pip=True)
    variables = {"PATH": f"{python / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)}
    work = folder
    for kind, value in instructions():
        started = time.monotonic()
        if kind == "ARG":
            name, _, default = value.partition("=")
            variables[name] = arguments.get(name, default)
        elif kind == "WORKDIR":
            work = folder / value.lstrip("/")
            work.mkdir(parents=True, exist_ok=True)
        elif kind == "COPY":
            *sources, target = value.split()
            for source in sources:
                _copy(ROOT / source, work / target if target != "./" else work / Path(source).name)
        elif kind == "ENV":
            variables |= dict(word.split("=", 1) for word in value.split())
        elif kind == "RUN" and not any(word in value for word in NEEDS_ROOT):
            subprocess.run(["bash", "-euc", value], cwd=work, env=os.environ | variables, check=True)
        elif kind in ("FROM", "USER", "RUN"):
            print(f"skipped: {kind} {value}", flush=True)
            continue
        else:
            raise ValueError(f"{DOCKERFILE.name}: unknown instruction {kind}")
        print(f"{time.monotonic() - started:6.1f} s  {kind} {value}", flush=True)
    for command in (["sweeps", "run", "--help"], ["ray", "job", "submit", "--help"], ["python", "-c", VERSIONS]):
        program = [python / "bin" / command[0], *command[1:]]
        done = subprocess.run(program, cwd=work, env=os.environ | variables, check=True, capture_output=True, text=True)
        print(f"works: {' '.join(command[:3])}: {done.stdout.strip().splitlines()[-1].strip()}")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def main() -> None:
    """Build in a new folder, and keep it for inspection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    try:
        build(options.folder.resolve(), dict(given.split("=", 1) for given in options.build_arg))
    except subprocess.CalledProcessError as error:
        sys.exit(f"a step failed with exit code {error.returncode}: {error.stderr or error.cmd}")


if __name__ == "__main__":
    main()
