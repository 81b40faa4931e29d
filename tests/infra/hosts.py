"""Hosts on one machine: namespaces with processes and addresses of their own, on one wire."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

NEEDED = ("ip", "unshare", "nsenter", "nft", "ss")
MEMBERS = "10.77.0.0/24"
TRIAL = re.compile(r"ray::\w*Trainable\b")


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@dataclass
class Host:
    """A host by name and address; `first` is its process 1 as this machine numbers it."""

    name: str
    address: str
    first: int = 0
    running: subprocess.Popen[bytes] | None = None

    def start(self, log: Path, *words: object, **env: str) -> None:
        """Boot it: `words` are its first process, which all others end with."""
        inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        command = ["ip", "netns", "exec", self.name, *inside, *map(str, words)]
        with log.open("ab") as out:
            self.running = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=os.environ | env
            )
        boot = psutil.Process(self.running.pid)
        wait_for(lambda: bool(boot.children()), f"{self.name} does not start")
        self.first = boot.children()[0].pid

    def within(self, *words: object) -> list[str]:
        """The words of a command that runs there, among its processes."""
        return ["nsenter", f"--target={self.first}", "--net", "--pid", "--mount", *map(str, words)]

    def terminate(self) -> None:
        """What a machine's end begins with: SIGTERM for its first process."""
        os.kill(self.first, signal.SIGTERM)

    def ended(self) -> bool:
        return self.running is None or self.running.poll() is not None

    def crash(self) -> None:
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.kill(self.first, signal.SIGKILL)
            self.running.wait()

    def cut_off(self, is_off: bool) -> None:
        """Pull its cable, or put it in again."""
        ip("-n", f"{self.name}-lan", "link", "set", "wire", "down" if is_off else "up")

    def runs_a_trial(self) -> bool:
        """Whether a process of Ray's is at work on a trial there."""
        for pid in ip("netns", "pids", self.name).split():
            with suppress(psutil.Error):
                if TRIAL.match(" ".join(psutil.Process(int(pid)).cmdline())):
                    return True
        return False

    def listening(self) -> dict[int, set[str]]:
        """Its TCP ports that somebody listens on, with their addresses."""
        words = ["ip", "netns", "exec", self.name, "ss", "-Hltn"]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        found: dict[int, set[str]] = {}
        for line in said.splitlines():
            address, _, port = line.split()[3].rpartition(":")
            found.setdefault(int(port), set()).add(address)
        return found

    def answers(self, other: "Host", port: int) -> bool:
        """Whether a port of another host answers to this one."""
        look = f"exec 3<>/dev/tcp/{other.address}/{port}"
        words = ["ip", "netns", "exec", self.name, "timeout", "2", "bash", "-c", look]
        return subprocess.run(words, capture_output=True).returncode == 0


@dataclass
class Network:
    """Hosts on a wire of a prefix of 16 bits."""

    hosts: list[Host] = field(default_factory=list)
    prefix: str = f"nt{os.getpid()}"

    def add(self, name: str, address: str) -> Host:
        """A host, by a switch of its own to the middle, so that its cable can be pulled there."""
        host = Host(f"{self.prefix}-{name}", address)
        lan, wire = f"{host.name}-lan", f"{self.prefix[-6:]}{len(self.hosts)}"
        self.hosts.append(host)
        for namespace in (host.name, lan):
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        ip(
            "link",
            "add",
            f"{wire}a",
            "netns",
            host.name,
            "type",
            "veth",
            "peer",
            "wire",
            "netns",
            lan,
        )
        ip(
            "link",
            "add",
            f"{wire}b",
            "netns",
            lan,
            "type",
            "veth",
            "peer",
            wire,
            "netns",
            self.middle,
        )
        ip("-n", lan, "link", "add", "switch", "type", "bridge")
        for link in ("wire", f"{wire}b"):
            ip("-n", lan, "link", "set", link, "master", "switch", "up")
        ip("-n", lan, "link", "set", "switch", "up")
        ip("-n", self.middle, "link", "set", wire, "master", "switch", "up")
        ip("-n", host.name, "link", "set", f"{wire}a", "up")
        ip("-n", host.name, "address", "add", f"{address}/16", "dev", f"{wire}a")
        return host

    @property
    def middle(self) -> str:
        return f"{self.prefix}-middle"

    def remove(self) -> None:
        for host in self.hosts:
            host.crash()
        for name in ip("netns", "list").split():
            if name.startswith(f"{self.prefix}-"):
                ip("netns", "delete", name)


@contextmanager
def network() -> Iterator[Network]:
    """A wire without hosts; skipped where this machine makes none."""
    if os.geteuid() != 0:
        pytest.skip("namespaces: they are made by root alone")
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"namespaces: {', '.join(missing)} not on the path (iproute2, nftables)")
    made = Network()
    try:
        ip("netns", "add", made.middle)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"namespaces: not allowed here ({error.stderr.strip()})")
    try:
        ip("-n", made.middle, "link", "add", "switch", "type", "bridge")
        ip("-n", made.middle, "link", "set", "switch", "up")
        yield made
    finally:
        made.remove()


def wait_for(arrives: Callable[[], bool], what: str, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not arrives():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
