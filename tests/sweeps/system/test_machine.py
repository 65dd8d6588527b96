"""Cores: limited by the machine, the affinity and the quota, and none leased by two trials."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.system import machine

PIN = "from sweeps.system.machine import pin_to_leased_cores; print(pin_to_leased_cores(1), flush=True); input()"


def groups(root: Path, memberships: str, quotas: dict[str, str]) -> float | None:
    """Return the quota found for given memberships and files of control groups."""
    (root / "memberships").write_text(memberships, encoding="ascii")
    for name, content in quotas.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="ascii")
    return machine._cpu_quota(root / "memberships", root / "cgroup")


def test_a_containers_quota_is_read(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/\n", {"cpu.max": "150000 100000\n"}) == 1.5


def test_without_a_quota_there_is_none(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/user\n", {"user/cpu.max": "max 100000\n"}) is None


def test_the_smallest_quota_of_a_group_and_its_parents_applies(tmp_path: Path) -> None:
    quotas = {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n", "a/b/c/cpu.max": "300000 100000\n"}
    assert groups(tmp_path, "0::/a/b/c\n", quotas) == 2.0


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_the_older_control_groups_is_read(controllers: str, tmp_path: Path) -> None:
    quotas = {f"{controllers}/docker/cpu.cfs_quota_us": "50000\n", f"{controllers}/docker/cpu.cfs_period_us": "100000"}
    assert groups(tmp_path, f"4:memory:/\n1:{controllers}:/docker\n0::/\n", quotas) == 0.5


def test_an_unlimited_older_group_has_no_quota(tmp_path: Path) -> None:
    quotas = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert groups(tmp_path, "1:cpu:/\n", quotas) is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.5, 2), (0.3, 1), (64.0, 4)])
def test_slots_follow_the_quota(quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_quota", lambda: quota)
    monkeypatch.setattr(machine, "allowed_cores", lambda: [0, 1, 2, 3])

    assert machine.core_count() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux pins a process to cores")
def test_a_leased_core_is_exclusive_whatever_the_temporary_folder(tmp_path: Path) -> None:
    processes = []
    for number in range(len(machine.allowed_cores()) + 1):
        own = tmp_path / str(number)
        own.mkdir()
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PIN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"TMPDIR": str(own)},
                text=True,
            )
        )
    try:
        leased = [process.stdout.readline().strip() for process in processes if process.stdout is not None]
    finally:
        for process in processes:
            process.communicate("\n")

    held = [core for core in leased if core != "[]"]
    assert len(set(held)) == len(held)
    assert leased.count("[]") >= 1, "more processes than cores: one gets no core"
    assert stat.S_IMODE(machine._LEASES.stat().st_mode) == 0o1777


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HTTP_PROXY": "http://proxy:3128"}, "localhost,127.0.0.1,::1"),
        ({"https_proxy": "http://p", "NO_PROXY": "corp, localhost"}, "corp,localhost,127.0.0.1,::1"),
        ({"all_proxy": "http://p", "no_proxy": "*"}, "*"),
        ({}, None),
    ],
)
def test_no_proxy_is_used_for_this_machine(
    environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that the values set below are restored
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    machine.bypass_proxy_for_localhost()

    assert os.environ.get("no_proxy") == expected


FAKE_CUDA = """
#include <stdlib.h>
#include <string.h>
int cuDriverGetVersion(int *version) { *version = atoi(getenv("FAKE_DRIVER")) * 1000 + 40; return 0; }
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    *count = visible == NULL ? 4 : strcmp(visible, "0,-1,1") == 0 ? 1 : 0;
    return 0;
}
"""


@pytest.fixture(scope="session")
def fake_cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that replaces the NVIDIA driver's: no GPU is needed or tested."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "cuda.c").write_text(FAKE_CUDA, encoding="ascii")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "cuda.so", folder / "cuda.c"], check=True)
    return folder / "cuda.so"


class TestGpus:
    @pytest.fixture(autouse=True)
    def fresh_query(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        machine._gpus.cache_clear()
        yield
        machine._gpus.cache_clear()

    @pytest.mark.parametrize(
        "visible",
        [None, "", "NoDevFiles", "-1", "0", "0,0", "0,-1,1", "7", "GPU-1a2b", "MIG-1a2b", "GPU-1a2b3c4d-0000", " "],
    )
    def test_there_is_none_without_a_driver_whatever_the_environment_names(
        self, visible: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "_CUDA", "no-such-library.so")
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

        assert machine.local_gpus() == 0
        assert machine.missing_gpu_reason()

    @pytest.mark.parametrize(
        ("visible", "built", "driver", "count", "why"),
        [
            (None, 12, 12, 4, ""),
            ("0,-1,1", 12, 12, 1, ""),
            ("0,0", 12, 12, 0, "CUDA finds no GPU for CUDA_VISIBLE_DEVICES='0,0'"),
            (None, 12, 11, 0, "the NVIDIA driver supports CUDA 11, but torch is built for CUDA 12"),
            (None, None, 12, 0, "torch is installed without CUDA"),
        ],
    )
    def test_cuda_counts_them_and_the_reason_for_none_is_reported(
        self,
        visible: str | None,
        built: int | None,
        driver: int,
        count: int,
        why: str,
        fake_cuda: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(machine, "_CUDA", str(fake_cuda))
        monkeypatch.setattr(machine, "_cuda_of_torch", lambda: built)
        monkeypatch.setenv("FAKE_DRIVER", str(driver))
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

        assert machine.local_gpus() == count
        assert why in machine.missing_gpu_reason()

    def test_what_torch_is_built_for_is_read_without_it(self) -> None:
        import torch

        cuda = torch.version.cuda
        assert machine._cuda_of_torch() == (None if cuda is None else int(cuda.partition(".")[0]))


class TestHome:
    @pytest.mark.parametrize("home", ["/nonexistent", "", None, "/"])
    def test_a_user_without_one_gets_a_temporary_one(
        self, home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
        monkeypatch.setattr("os.access", lambda *_: False)
        monkeypatch.setattr("pwd.getpwuid", _no_entry)
        monkeypatch.setenv("HOME", home or "")
        if home is None:
            monkeypatch.delenv("HOME")

        machine.ensure_home()

        assert Path.home() == tmp_path / f"sweeps-home-{os.getuid()}"
        assert stat.S_IMODE(Path.home().stat().st_mode) == 0o700

    def test_one_that_cannot_be_written_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.access", lambda *_: False)
        monkeypatch.setenv("HOME", str(tmp_path))

        machine.ensure_home()

        assert Path.home() == tmp_path

    def test_another_users_link_is_not_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
        (tmp_path / f"sweeps-home-{os.getuid()}").symlink_to("/")

        assert machine.private_temporary_folder("home") is None


def _no_entry(number: int) -> None:
    raise KeyError(number)
