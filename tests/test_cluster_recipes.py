"""The recipes of docs/cluster say what the programs they start understand, and hold no secret.

None of them runs here: there is no SLURM, no Kubernetes, no cloud. `test_slurm_recipe.py` of the cluster's tests runs
the SLURM script with stand-ins for the programs of SLURM.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sweeps.cli.main import sweeps

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "docs" / "cluster"
SLURM = RECIPES / "sweep.slurm"
RAYJOB: dict[str, Any] = yaml.safe_load((RECIPES / "rayjob.yaml").read_text(encoding="utf-8"))
AWS: dict[str, Any] = yaml.safe_load((RECIPES / "ray-cluster-aws.yaml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEXTS = {
    path.name: path.read_text(encoding="utf-8") for path in [*RECIPES.iterdir(), *(ROOT / "docs").rglob("cluster*.md")]
}


def pins(lock: Path) -> dict[str, str]:
    """Return the version of each package of a lock."""
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


LOCK = pins(ROOT / "requirements.lock")
CLUSTER_LOCK = pins(RECIPES / "cluster.lock")


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", TEXTS["Dockerfile"], flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every `sweeps VERB ...` of a recipe, without what a shell makes of them."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for found in re.findall(rf"(?:^|[\s'`;/])sweeps ((?:{'|'.join(sweeps.commands)})\b[^\n'`;&]*)", joined):
        yield shlex.split(found, comments=True)


COMMANDS = [(name, words) for name, text in TEXTS.items() for words in commands(text)]
COMMANDS.append(("entrypoint", shlex.split(RAYJOB["spec"]["entrypoint"])[1:]))


@pytest.mark.parametrize(
    ("name", "words"), COMMANDS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_every_option_that_a_recipe_gives_sweeps_exists(name: str, words: list[str]) -> None:
    known = {option for parameter in sweeps.commands[words[0]].params for option in parameter.opts}

    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_the_recipes_start_sweeps_run() -> None:
    assert {name for name, words in COMMANDS if words[0] == "run"} >= {"sweep.slurm", "entrypoint"}


def test_no_recipe_holds_a_secret() -> None:
    for name, text in TEXTS.items():
        assert not re.search(r"://[^/\s:@]+:[^@\s/]+@", text), f"{name}: a password in an address"
        assert not re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b", text), f"{name}: a key of AWS"
        assert not re.search(r"(PASSWORD|SECRET|TOKEN|ACCESS_KEY)\w*=['\"]?[\w/+]{8,}", text), f"{name}: a secret"


class TestSlurm:
    def test_bash_understands_it(self) -> None:
        subprocess.run(["bash", "-n", SLURM], check=True)

    def test_shellcheck_finds_nothing(self) -> None:
        found = shutil.which("shellcheck") or shutil.which("shellcheck", path=Path(sys.executable).parent)
        if found is None:
            pytest.skip("shellcheck is not installed: it comes with the dev extra")
        process = subprocess.run([found, SLURM], capture_output=True, text=True, check=False)

        assert process.stdout == ""

    def test_slurm_reads_its_options_before_the_first_command(self) -> None:
        lines = TEXTS["sweep.slurm"].splitlines()
        first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
        options = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]

        assert options
        assert max(options) < first_command

    def test_the_token_is_on_no_command_line(self) -> None:
        assert not re.search(r"(ray|sweeps|srun)\b.*\$\{?(RAY_AUTH_TOKEN\b|token\b)", TEXTS["sweep.slurm"])
        assert "umask 077" in TEXTS["sweep.slurm"]


class TestDockerfile:
    def test_it_runs_as_a_user_who_is_not_root(self) -> None:
        kinds = [kind for kind, _ in instructions()]
        users = [value for kind, value in instructions() if kind == "USER"]

        assert users
        assert int(users[-1]) > 0
        assert kinds.index("USER") > max(number for number, kind in enumerate(kinds) if kind == "RUN")

    def test_its_python_is_one_that_the_project_takes(self) -> None:
        version = next(value.partition("=")[2] for kind, value in instructions() if value.startswith("PYTHON="))

        assert SpecifierSet(PROJECT["requires-python"]).contains(version)
        assert ("FROM", "python:${PYTHON}-slim-bookworm") in instructions()

    def test_everything_it_copies_is_there_and_let_through(self) -> None:
        ignored = TEXTS["Dockerfile.dockerignore"].splitlines()
        for sources in (value.split()[:-1] for kind, value in instructions() if kind == "COPY"):
            for source in sources:
                assert (ROOT / source).exists()
                assert f"!{source}" in ignored


def installed() -> dict[str, tuple[list[str], list[str]]]:
    """Return what the image and a node of the cloud install, and with which locks."""
    docker = [value for kind, value in instructions() if kind == "RUN" and "--constraint" in value]
    aws = [line for line in AWS["setup_commands"] if "--constraint" in line]
    found = {}
    for name, (line,) in (("image", docker), ("node", aws)):
        words = shlex.split(line.partition(" install ")[2])
        after = dict(enumerate(words[:-1], start=1))
        values = [number for number, before in after.items() if before in ("--constraint", "--extra-index-url")]
        locks = [Path(words[number]).name for number in values if after[number] == "--constraint"]
        wanted = [word for number, word in enumerate(words) if number not in values and not word.startswith("--")]
        found[name] = (wanted, locks)
    return found


def test_an_image_and_a_node_of_the_cloud_get_the_same_packages() -> None:
    assert installed()["image"] == installed()["node"]


def test_whatever_is_installed_beside_the_project_is_pinned() -> None:
    (project, *others), locks = installed()["image"]

    assert project == "."
    assert locks == ["requirements.lock", "cluster.lock"]
    assert {canonicalize_name(Requirement(word).name) for word in others} <= LOCK.keys() | CLUSTER_LOCK.keys()


def test_no_package_is_pinned_twice_in_different_versions() -> None:
    both = LOCK.keys() & CLUSTER_LOCK.keys()

    assert {name: CLUSTER_LOCK[name] for name in both} == {name: LOCK[name] for name in both}


def containers() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return each pod and container of the RayJob."""
    cluster = RAYJOB["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [RAYJOB["spec"]["submitterPodTemplate"]["spec"], *(group["template"]["spec"] for group in groups)]
    return [(pod, container) for pod in pods for container in pod["containers"]]


class TestRayJob:
    def test_it_is_what_kuberay_calls_a_job_of_the_locked_ray(self) -> None:
        assert (RAYJOB["apiVersion"], RAYJOB["kind"]) == ("ray.io/v1", "RayJob")
        assert RAYJOB["spec"]["rayClusterSpec"]["rayVersion"] == LOCK["ray"]
        assert RAYJOB["spec"]["shutdownAfterJobFinishes"] is True

    def test_strangers_need_a_token(self) -> None:
        assert RAYJOB["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}

    def test_every_container_runs_this_version_and_not_as_root(self) -> None:
        assert len(containers()) == 3
        for pod, container in containers():
            assert container["image"].endswith(f"/cifar-sweeps:{PROJECT['version']}")
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] > 0
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}

    def test_secrets_come_from_secrets(self) -> None:
        variables = [variable for _, container in containers() for variable in container.get("env", [])]
        secret = [variable for variable in variables if re.search("PASSWORD|SECRET|TOKEN|ACCESS_KEY", variable["name"])]

        assert {variable["name"] for variable in secret} >= {"PGPASSWORD", "AWS_SECRET_ACCESS_KEY"}
        for variable in secret:
            assert "value" not in variable
            assert variable["valueFrom"]["secretKeyRef"]["name"].startswith("sweeps-")

    def test_trials_keep_off_the_head_and_workers_offer_whole_cores(self) -> None:
        cluster = RAYJOB["spec"]["rayClusterSpec"]
        (workers,) = cluster["workerGroupSpecs"]
        resources = workers["template"]["spec"]["containers"][0]["resources"]

        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        assert cluster["enableInTreeAutoscaling"] is True
        assert 1 <= workers["minReplicas"] <= workers["maxReplicas"]
        assert resources["requests"] == resources["limits"]
        assert resources["limits"]["cpu"].isdigit()


class TestAws:
    def test_it_is_what_ray_up_takes(self) -> None:
        spec = importlib.util.find_spec("ray")
        assert spec is not None
        assert spec.origin is not None
        schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))

        jsonschema.validate(AWS, schema)

    def test_workers_are_spot_and_the_driver_is_not(self) -> None:
        head, worker = AWS["available_node_types"]["head"], AWS["available_node_types"]["worker"]

        assert AWS["head_node_type"] == "head"
        assert "InstanceMarketOptions" not in head["node_config"]
        assert head["resources"] == {"CPU": 0}
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert 1 <= worker["min_workers"] <= worker["max_workers"] <= AWS["max_workers"]

    def test_every_node_asks_for_the_token(self) -> None:
        starts = [
            line for line in AWS["head_start_ray_commands"] + AWS["worker_start_ray_commands"] if "ray start" in line
        ]

        assert len(starts) == 2
        assert all("RAY_AUTH_MODE=token" in line for line in starts)
        assert AWS["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"

    def test_its_python_is_a_patch_version_of_the_images(self) -> None:
        image = next(value.partition("=")[2] for kind, value in instructions() if value.startswith("PYTHON="))
        exact = re.search(r"--python (\S+)", " ".join(AWS["setup_commands"]))

        assert exact is not None
        assert exact[1].startswith(f"{image}.")
