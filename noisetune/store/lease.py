"""One computation per key at a time: leases with an owner and a heartbeat.

A lease is a file `lease-000007.json` in the key's folder. The highest number is the truth, and to
take a lease is to create the next number exclusively, so of many contenders exactly one can win.
Nobody ever writes to another's lease: a heartbeat touches its own file, a release sets that file's
time to 0, and a successor removes what lies below its own.

A lease is live while its file was touched within its time to live, measured by the file system's
clock, and while its owner is not known to be dead. On an object store (see `objects.Objects`)
the clocks of hosts do matter, and a lease is advice: two owners at once are possible and harmless.
"""

import json
import os
import re
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from .backend import Backend
from .keys import encode

TTL_SECONDS = 30.0
LEASE_FILE = re.compile(r"lease-(\d{6,})\.json")
# a lease file is still empty after this long only if its writer died between two system calls
HALF_WRITTEN_SECONDS = 2.0
# psutil derives the start of a process from the wall clock, which may be set in between
START_TOLERANCE_SECONDS = 2.0


class LeaseLost(RuntimeError):  # noqa: N818
    """The lease lapsed or was taken over. Ask for a new one: if it is granted, publish again."""


@cache
def _process_space() -> str:
    """Where a process id means something: this host, since this boot, in this pid namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        space = str(uuid.getnode())
    return f"{socket.gethostname()}/{space}"


@dataclass(frozen=True)
class LeaseInfo:
    """Who holds a lease. `started` is the process's start and `since` the lease's (Unix time)."""

    host: str
    pid: int
    started: float
    token: str
    since: float
    ttl: float
    process_space: str

    @classmethod
    def mine(cls, ttl: float) -> Self:
        """A new lease of this process, `ttl` in seconds."""
        pid, token = os.getpid(), uuid.uuid4().hex
        started = psutil.Process(pid).create_time()
        return cls(socket.gethostname(), pid, started, token, time.time(), ttl, _process_space())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From a lease file; one that is half written, or another version's, has no known owner."""
        try:
            return cls(**json.loads(data))
        except ValueError:
            ttl = HALF_WRITTEN_SECONDS
        except TypeError:
            ttl = TTL_SECONDS
        return cls("an unknown host", 0, 0.0, "", 0.0, ttl, "")

    def is_gone(self) -> bool:
        """Known to be dead: it ran where this process can look, and does not run any more."""
        if self.process_space != _process_space():
            return False
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > START_TOLERANCE_SECONDS:
                return True
            # the main thread of a killed process is a zombie while others are still at work
            return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


class Lease:
    """The right to compute and publish one key, until released, dropped or lapsed.

    A context manager. `held` asks the store whether the lease still stands; `finish` gives it
    back, and also runs when the lease is collected as garbage and when the process ends.
    """

    def __init__(
        self,
        folder: str,
        owner: LeaseInfo,
        held: Callable[[], bool] = lambda: True,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.owner = owner
        self._held = held
        self._finish = weakref.finalize(self, finish)

    @property
    def alive(self) -> bool:
        """Whether what is computed under this lease may be published now."""
        return self._finish.alive and self._held()

    def check(self) -> None:
        """Raise LeaseLost unless alive."""
        if not self.alive:
            raise LeaseLost(
                f"the lease on {self.folder} lapsed, was released or was taken over: nothing is "
                "published under it; ask for a new lease and publish under that one if granted"
            )

    def release(self) -> None:
        """Let others have the key; a second call does nothing."""
        self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def claim(backend: Backend, folder: str, ttl: float) -> Lease | None:
    """Take the lease on a key's folder; None: somebody else holds a live one."""
    newest, owner = _current(backend, folder)
    if owner is not None:
        return None
    mine = newest + 1
    path, info = _path(folder, mine), LeaseInfo.mine(ttl)
    try:
        if not backend.create(path, encode(asdict(info))):
            return None
    except FileNotFoundError:
        return None
    numbers = _numbers(backend, folder)
    if numbers[-1:] != [mine]:
        backend.remove(path)
        return None
    for number in numbers[:-1]:
        backend.remove(_path(folder, number))
    return _start(backend, folder, mine, info)


def holder(backend: Backend, folder: str) -> LeaseInfo | None:
    """The owner of the live lease on a key's folder."""
    return _current(backend, folder)[1]


def _path(folder: str, number: int) -> str:
    return f"{folder}/lease-{number:06d}.json"


def _numbers(backend: Backend, folder: str) -> list[int]:
    found = (LEASE_FILE.fullmatch(name) for name in backend.names(folder))
    return sorted(int(match[1]) for match in found if match)


def _is_fresh(backend: Backend, path: str, ttl: float) -> bool:
    touched = backend.touched(path)
    return backend.now() - touched <= ttl


def _current(backend: Backend, folder: str) -> tuple[int, LeaseInfo | None]:
    """The newest lease's number (0: none) and, when it is live, its owner."""
    while numbers := _numbers(backend, folder):
        path = _path(folder, numbers[-1])
        # a successor may remove the file between two looks at it: then look for that one
        with suppress(FileNotFoundError):
            info = LeaseInfo.parse(backend.read(path))
            live = _is_fresh(backend, path, info.ttl) and not info.is_gone()
            return numbers[-1], info if live else None
    return 0, None


def _start(backend: Backend, folder: str, number: int, info: LeaseInfo) -> Lease:
    """Start the heartbeat. It knows the file and not the lease, which may so be collected."""
    path, stop = _path(folder, number), threading.Event()
    beat = threading.Thread(
        target=_beat, args=(backend, path, info.ttl, stop), name=f"lease {folder}", daemon=True
    )
    beat.start()

    def held() -> bool:
        try:
            fresh = _is_fresh(backend, path, info.ttl)
        except FileNotFoundError:
            return False
        return fresh and _numbers(backend, folder)[-1:] == [number]

    def finish() -> None:
        stop.set()
        # in a forked child the thread does not exist: the parent's lease stays as it is
        if threading.current_thread() is not beat:
            beat.join(timeout=info.ttl)

    return Lease(folder, info, held, finish)


def _beat(backend: Backend, path: str, ttl: float, stop: threading.Event) -> None:
    """Touch the lease three times per ttl, and retire it in the end: one writer, so no lock."""
    while not stop.wait(ttl / 3):
        try:
            # one that lapsed while this process slept is not revived: others counted on it
            if not _is_fresh(backend, path, ttl):
                return
            backend.touch(path)
        except FileNotFoundError:
            return
        except Exception:
            # the store is away for now: when it stays away, the lease lapses
            continue
    with suppress(Exception):
        backend.touch(path, 0.0)
