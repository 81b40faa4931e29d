"""One computation per key at a time: leases with an owner and a heartbeat.

A lease is a file `lease-000007.json` in the key's folder. The highest number is the truth, and to
take a lease is to create the next number exclusively, so of many contenders exactly one can win.
Nobody ever writes to another's lease: a heartbeat touches its own file, a release sets that file's
time to 0, and a successor removes what lies below its own.

A lease is live while its file was touched within its time to live, and while its owner is not
known to be dead. Other hosts measure that by the file system's clock. The owner's own host does by
the time since it started, which no setting of a clock moves: that is the time of a file
`lease-000007.beat` beside the lease. On an object store (see `objects.Objects`) the clocks of hosts
do matter, and a lease is advice: two owners at once are possible and harmless.
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
from types import TracebackType
from typing import Self

from . import process
from .backend import Backend
from .keys import encode

TTL_SECONDS = 30.0
LEASE_FILE = re.compile(r"lease-(\d{6,})\.json")
# a lease file is still empty after this long only if its writer died between two system calls
HALF_WRITTEN_SECONDS = 2.0
# some file systems know no time before 1980: the beats of a boot are counted from 2001 on
BEATS_BEGIN = 1e9


class LeaseLost(RuntimeError):  # noqa: N818
    """The lease lapsed or was taken over. Ask for a new one: if it is granted, publish again."""


@dataclass(frozen=True)
class LeaseInfo:
    """Who holds a lease: a process by its number, its start (ticks since boot) and where it runs.

    `since` is the lease's beginning (Unix time), for people; `ttl` is in seconds.
    """

    host: str
    pid: int
    started: int
    token: str
    since: float
    ttl: float
    boot: str
    process_space: str

    @classmethod
    def mine(cls, ttl: float) -> Self:
        """A new lease of this process, `ttl` in seconds."""
        pid, token = os.getpid(), uuid.uuid4().hex
        where = process.boot(), process.process_space()
        started = process.start_of(pid)
        return cls(socket.gethostname(), pid, started, token, time.time(), ttl, *where)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From a lease file; one that is half written, or another version's, has no known owner."""
        try:
            return cls(**json.loads(data))
        except ValueError:
            ttl = HALF_WRITTEN_SECONDS
        except TypeError:
            ttl = TTL_SECONDS
        return cls("an unknown host", 0, 0, "", 0.0, ttl, "", "")

    def is_gone(self) -> bool:
        """Known to be dead: it ran where this process can look, and does not run any more."""
        here = self.process_space == process.process_space()
        return here and process.is_gone(self.pid, self.started)

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
        backend.remove(_beat_path(folder, number))
    return _start(backend, folder, mine, info) if _begin(backend, folder, mine) else None


def _begin(backend: Backend, folder: str, number: int) -> bool:
    """The first beat; where there is no room for it, no lease either. False: its folder is gone."""
    try:
        backend.create(_beat_path(folder, number), b"")
        _touch(backend, folder, number)
    except FileNotFoundError:
        return False
    except BaseException:
        backend.remove(_path(folder, number))
        raise
    return True


def forget(backend: Backend, lease: Lease) -> None:
    """Give a lease back, and remove its files; no other's, who may hold the key by then."""
    lease.release()
    for number in _numbers(backend, lease.folder):
        with suppress(FileNotFoundError):
            path = _path(lease.folder, number)
            if LeaseInfo.parse(backend.read(path)).token == lease.owner.token:
                # The beat first: without the other file its number would be given again.
                backend.remove(_beat_path(lease.folder, number))
                backend.remove(path)


def holder(backend: Backend, folder: str) -> LeaseInfo | None:
    """The owner of the live lease on a key's folder."""
    return _current(backend, folder)[1]


def _path(folder: str, number: int) -> str:
    return f"{folder}/lease-{number:06d}.json"


def _numbers(backend: Backend, folder: str) -> list[int]:
    found = (LEASE_FILE.fullmatch(name) for name in backend.names(folder))
    return sorted(int(match[1]) for match in found if match)


def _beat_path(folder: str, number: int) -> str:
    return f"{folder}/lease-{number:06d}.beat"


def _is_fresh(backend: Backend, folder: str, number: int, info: LeaseInfo) -> bool:
    """Whether the heartbeat was there within the time to live. FileNotFoundError: no such lease."""
    touched = backend.touched(_path(folder, number))
    if info.boot and info.boot == process.boot():
        now = process.since_boot()
        with suppress(FileNotFoundError):
            beat = backend.touched(_beat_path(folder, number)) - BEATS_BEGIN
            # else it was not written yet, or was given back
            if 0 <= beat <= now:
                return now - beat <= info.ttl
    return backend.now() - touched <= info.ttl


def _current(backend: Backend, folder: str) -> tuple[int, LeaseInfo | None]:
    """The newest lease's number (0: none) and, when it is live, its owner."""
    while numbers := _numbers(backend, folder):
        path = _path(folder, numbers[-1])
        # a successor may remove the file between two looks at it: then look for that one
        with suppress(FileNotFoundError):
            info = LeaseInfo.parse(backend.read(path))
            live = _is_fresh(backend, folder, numbers[-1], info) and not info.is_gone()
            return numbers[-1], info if live else None
    return 0, None


def _start(backend: Backend, folder: str, number: int, info: LeaseInfo) -> Lease:
    """Start the heartbeat. It knows the file and not the lease, which may so be collected."""
    stop = threading.Event()
    work = (backend, folder, number, info, stop)
    beat = threading.Thread(target=_beat, args=work, name=f"lease {folder}", daemon=True)
    beat.start()

    def held() -> bool:
        try:
            fresh = _is_fresh(backend, folder, number, info)
        except FileNotFoundError:
            return False
        return fresh and _numbers(backend, folder)[-1:] == [number]

    def finish() -> None:
        stop.set()
        # in a forked child the thread does not exist: the parent's lease stays as it is
        if threading.current_thread() is not beat:
            beat.join(timeout=info.ttl)

    return Lease(folder, info, held, finish)


def _beat(
    backend: Backend, folder: str, number: int, info: LeaseInfo, stop: threading.Event
) -> None:
    """Touch the lease three times per ttl, and retire it in the end: one writer, so no lock."""
    while not stop.wait(info.ttl / 3):
        try:
            # one that lapsed while this process slept is not revived: others counted on it
            if not _is_fresh(backend, folder, number, info):
                return
            _touch(backend, folder, number)
        except FileNotFoundError:
            return
        except Exception:
            # the store is away for now: when it stays away, the lease lapses
            continue
    for path in (_beat_path(folder, number), _path(folder, number)):
        with suppress(Exception):
            backend.touch(path, 0.0)


def _touch(backend: Backend, folder: str, number: int) -> None:
    """A heartbeat, by both clocks."""
    backend.touch(_beat_path(folder, number), BEATS_BEGIN + process.since_boot())
    backend.touch(_path(folder, number))
