"""Machines for tests: namespaces on a bridge, each with an address, a host name and processes of its own.

They share cores, memory and disk, and nothing of the network: what cuts a cable here cuts it for Ray too. No process
sees those of another machine: a driver looks for its node's Ray among them. Where namespaces cannot be made (not root,
or a kernel without them) the machines are loopback addresses, and say so.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_NUMBERS = itertools.count()
_OF_ITS_OWN = "--uts --pid --fork --mount-proc --kill-child"
"""What `unshare` gives a machine beside its network."""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def can_make_namespaces() -> bool:
    """Return whether this process may make network namespaces and connect them."""
    probe = f"ip link add swprobe type bridge && ip link del swprobe && unshare --net {_OF_ITS_OWN} true"
    return subprocess.run(["sh", "-c", probe], capture_output=True, check=False).returncode == 0


@dataclass
class Machine:
    """One machine: processes on it see its address and its name."""

    name: str
    address: str
    namespace: str | None
    """None where it is only an address of the loopback."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _first: subprocess.Popen[bytes] | None = None
    """The process that all others are put beside: with it they end."""

    @property
    def host(self) -> str:
        """What its processes take for its name; loopback addresses share one."""
        return self.name if self.namespace is not None else socket.gethostname()

    def start(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str], cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process on it, in a process group of its own."""
        if self.namespace is not None:
            into = ["--net", "--uts", "--pid", "--mount", f"--wdns={cwd or Path.cwd()}"]
            command = ["nsenter", f"--target={self._first_pid()}", *into, "--", *command]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=dict(environment), cwd=cwd, start_new_session=True
            )
        self.processes.append(process)
        return process

    def _first_pid(self) -> int:
        """Switch the machine on where it is off, and return its first process as it is known outside."""
        if self._first is None:
            # The host name too: a record says where a trial ran.
            inside = ["sh", "-c", 'hostname "$0" && echo on && exec sleep infinity', self.name]
            self._first = subprocess.Popen(
                ["ip", "netns", "exec", str(self.namespace), "unshare", *_OF_ITS_OWN.split(), *inside],
                stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            assert self._first.stdout is not None
            assert self._first.stdout.readline() == b"on\n"
        (first,) = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()
        return int(first)

    def pids(self) -> list[int]:
        """Return every process on it."""
        if self.namespace is None:
            groups = {process.pid for process in self.processes}
            found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
            return [pid for pid in found if _session(pid) in groups]
        said = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False)
        return [int(pid) for pid in said.stdout.split()]

    def kill(self) -> None:
        """End everything on it at once, as a power cut does."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in [*self.processes, *filter(None, [self._first])]:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(10)
        self.processes.clear()
        self._first = None

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """Pull its cable within the block."""
        assert self.namespace is not None, "a loopback address has no cable"
        _ip("link", "set", f"{self.namespace}-out", "down")
        try:
            yield
        finally:
            _ip("link", "set", f"{self.namespace}-out", "up")

    @contextlib.contextmanager
    def without_port(self, port: int) -> Iterator[None]:
        """Let nothing leave it for a port of another machine within the block, as a firewall does."""
        rule = ["rule", "{}", "iif", "lo", "ipproto", "tcp", "dport", str(port), "blackhole"]
        _ip("-n", str(self.namespace), *(word.format("add") for word in rule))
        try:
            yield
        finally:
            _ip("-n", str(self.namespace), *(word.format("del") for word in rule))


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


@contextlib.contextmanager
def machines(count: int) -> Iterator[tuple[str, list[Machine]]]:
    """Give that many machines, and the address at which they reach this one."""
    if not can_make_namespaces():
        made = [Machine(name=f"node-{i}", address=f"127.0.0.{i + 2}", namespace=None) for i in range(count)]
        try:
            yield "127.0.0.1", made
        finally:
            for machine in made:
                machine.kill()
        return
    number = (os.getpid() + next(_NUMBERS)) % 200
    bridge, net = f"sw{number}", f"10.{177 + number % 50}.{number}"
    made = []
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for index in range(count):
            space = f"{bridge}n{index}"
            address = f"{net}.{index + 11}"
            _ip("netns", "add", space)
            made.append(Machine(name=f"node-{index}", address=address, namespace=space))
            _ip("link", "add", f"{space}-out", "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", f"{space}-out", "master", bridge, "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")
        yield f"{net}.1", made
    finally:
        for machine in made:
            machine.kill()
            subprocess.run(["ip", "netns", "del", str(machine.namespace)], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)


def wait_until(condition: object, *, seconds: float, what: str, every: float = 0.5) -> float:
    """Wait until a call returns something true; return how many seconds that took."""
    began = time.monotonic()
    while not condition():  # type: ignore[operator]
        assert time.monotonic() - began < seconds, f"waited {seconds:.0f} s: {what}"
        time.sleep(every)
    return time.monotonic() - began
