"""A world of processes under one scheduler with a seed: its clocks, what it does to them, its log.

Each thread of each process is a thread here, of which one runs at a time. Wherever it would change
something that others see, wait or sleep, the world decides by its random numbers who goes on, who
dies or stands still, and what the clocks show. Two worlds of a seed are the same, step by step.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from faults import Faults

EPOCH = 1.7e9
MOST_STEPS = 100_000
LONGEST = 1e6
Torn = Callable[[float], None]
SOON = 0.002
"""Seconds that an effect takes, at most and where nothing holds it up."""


class Killed(BaseException):
    """The process is dead: nothing that comes after it is done."""


class WorldError(Exception):
    """The world came to no good end: all wait for ever, or there is no end."""


@dataclass(eq=False)
class Host:
    """A machine: its wall clock differs from the world's by `skew` seconds; its power failed `cuts`
    times."""

    name: str
    skew: float = 0.0
    cuts: int = 0

    @property
    def boot(self) -> str:
        """Of a host that was started again this is another one."""
        return f"{self.name} {self.cuts}"


@dataclass(eq=False)
class Process:
    """A process on a host. It is dead from `dies_at` on, and stands still until `frozen_until`."""

    pid: int
    name: str
    host: Host
    started: float
    parent: "Process | None" = None
    mortal: bool = True
    dies_at: float = float("inf")
    frozen_until: float = 0.0


@dataclass(eq=False)
class Task:
    """A thread of a process; it waits until a time, or until something is so."""

    process: Process
    name: str
    wake: float = 0.0
    ready: Callable[[], bool] | None = None
    over: bool = False
    baton: Any = field(default_factory=threading.Lock)


class World:
    """`log` has a line for each step, `failures` what no thread may raise; `unplugged` is called
    when the power of a host fails."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.random, self.faults, self.faults_left = Random(seed), faults, faults.most
        self.now, self.steps, self.disk_skew = 1000.0, 0, 0.0
        self.unplugged: Callable[[Host], None] = lambda host: None
        self.log: list[str] = []
        self.failures: list[str] = []
        self.processes: dict[int, Process] = {}
        self.hosts: dict[str, Host] = {}
        self._tasks: list[Task] = []
        self._threads: dict[int, Task] = {}
        self._end = threading.Lock()
        self._end.acquire()
        self._broken: str | None = None

    # Who there is

    def host(self, name: str) -> Host:
        return self.hosts.setdefault(name, Host(name))

    def process(self, name: str, host: Host, mortal: bool = True) -> Process:
        """A new process, a child of the one at work."""
        parent = None if self.task is None else self.task.process
        made = Process(100 + len(self.processes), name, host, self.now, parent, mortal)
        self.processes[made.pid] = made
        return made

    @property
    def task(self) -> Task | None:
        """The one that runs; None for a thread that is not of this world."""
        return self._threads.get(threading.get_ident())

    def spawn(self, process: Process, name: str, work: Callable[[], Any]) -> Task:
        """A new thread of a process, which begins when its turn comes."""
        task = Task(process, f"{process.name}.{name}")
        task.baton.acquire()

        def run() -> None:
            task.baton.acquire()
            self._threads[threading.get_ident()] = task
            try:
                if not self.is_dead(process):
                    work()
            except Killed:
                pass
            except BaseException as error:
                self.failures.append(f"{task.name}: {type(error).__name__}: {error}")
            finally:
                del self._threads[threading.get_ident()]
                task.over = True
                self._hand_over(None)

        self._tasks.append(task)
        threading.Thread(target=run, daemon=True).start()
        return task

    def run(self) -> None:
        """Let all threads run to their end; WorldError where they do not come to one."""
        self._hand_over(None)
        self._end.acquire()
        if self._broken is not None:
            raise WorldError(self._broken)

    # What befalls them

    def is_dead(self, process: Process) -> bool:
        return self._broken is not None or process.dies_at <= self.now

    def kill(self, process: Process) -> None:
        """Now; its children follow at once, or live on for a while."""
        if process.mortal and not self.is_dead(process):
            self.note(f"{process.name} dies")
            process.dies_at = self.now
            for child in self.processes.values():
                if child.parent is process:
                    later = self.random.choice([0.0, self.random.uniform(0.0, 20.0)])
                    child.dies_at = min(child.dies_at, self.now + later)

    def note(self, line: str) -> None:
        self.log.append(f"{self.steps} {self.now:.3f} {line}")

    def effect(self, kind: str, place: str = "", torn: Torn | None = None) -> None:
        """The thread at work is about to change something: now, later, or never.

        Of a write a part may be done before its process dies: `torn` does a share of it.
        """
        task = self.task
        if task is None:
            return
        self._go_on(task)
        self.steps += 1
        self.note(f"{task.name} {kind} {place}")
        if self.steps > MOST_STEPS or self.now > LONGEST:
            self._break("there is no end to it")
        self.now += self.random.uniform(0.0, SOON)
        self._befall(task, torn)
        self._go_on(task)

    def _befall(self, task: Task, torn: Torn | None) -> None:
        faults = self.faults
        if self.steps == faults.kill_at or self._happens(faults.kill):
            victim = task.process
            if self.steps != faults.kill_at and self.random.random() < 0.3:
                victim = self._anybody()
            if victim is task.process and victim.mortal and torn is not None:
                torn(self.random.choice([0.0, self.random.random(), 1.0]))
            self.kill(victim)
        if self._happens(faults.cut):
            self._cut(task.process.host)
        if self._happens(faults.freeze):
            victim = self.random.choice([task.process, self._anybody()])
            victim.frozen_until = self.now + self.random.choice([1.0, 40.0, 200.0])
            self.note(f"{victim.name} stands still until {victim.frozen_until:.3f}")
        if self._happens(faults.jump):
            self._jump()
        if self._happens(faults.delay):
            self.pause(self.now + self.random.choice([0.1, 3.0, 45.0]))
        elif self.random.random() < faults.switch:
            self.pause(self.now)

    def _cut(self, host: Host) -> None:
        self.note(f"the power of {host.name} fails")
        host.cuts += 1
        for each in self.processes.values():
            if each.host is host:
                self.kill(each)
        self.unplugged(host)

    def _jump(self) -> None:
        by = self.random.choice([-1.0, 1.0]) * self.random.choice([2.0, 60.0, 4000.0])
        which = self.random.choice([None, *self.hosts.values()])
        if which is None:
            self.disk_skew += by
        else:
            which.skew += by
        self.note(f"the clock of {'the disk' if which is None else which.name} jumps by {by:g}")

    def happens(self, chance: float) -> bool:
        """Whether a fault of this chance happens now, one of those that are left."""
        return self._happens(chance)

    def _happens(self, chance: float) -> bool:
        if not chance or self.random.random() >= chance or not self.faults_left:
            return False
        self.faults_left -= 1
        return True

    def _anybody(self) -> Process:
        return self.random.choice([each for each in self.processes.values() if each.mortal])

    # Whose turn it is

    def pause(self, until: float, ready: Callable[[], bool] | None = None) -> None:
        """The thread at work waits until a time, or until it is `ready`; others go on."""
        task = self.task
        assert task is not None
        self._go_on(task)
        task.wake, task.ready = until, ready
        self._hand_over(task)
        task.wake, task.ready = 0.0, None
        self._go_on(task)

    def _go_on(self, task: Task) -> None:
        if self.is_dead(task.process):
            raise Killed
        if task.process.frozen_until > self.now:
            self._hand_over(task)
            self._go_on(task)

    def _hand_over(self, task: Task | None) -> None:
        following = self._next()
        if following is task and task is not None:
            return
        if following is None:
            self._end.release()
        else:
            following.baton.release()
        if task is not None:
            task.baton.acquire()

    def _next(self) -> Task | None:
        self._tasks = [task for task in self._tasks if not task.over]
        while self._tasks:
            can = [task for task in self._tasks if self._can_run(task)]
            dead = [task for task in can if self.is_dead(task.process)]
            if can:
                return (dead or [self.random.choice(can)])[0]
            later = min(self._wakes(task) for task in self._tasks)
            if later == float("inf"):
                self._break("all wait for ever: " + ", ".join(each.name for each in self._tasks))
            else:
                self.now = later
        return None

    def _can_run(self, task: Task) -> bool:
        if self.is_dead(task.process):
            return True
        if task.process.frozen_until > self.now:
            return False
        return task.wake <= self.now or (task.ready is not None and task.ready())

    def _wakes(self, task: Task) -> float:
        ready = task.ready is not None and task.ready()
        awake = self.now if ready else task.wake
        return min(max(awake, task.process.frozen_until), task.process.dies_at)

    def _break(self, why: str) -> None:
        self._broken = self._broken or why

    def digest(self) -> str:
        """Of the whole log: that of two worlds that went the same way is the same."""
        return hashlib.sha256("\n".join(self.log).encode()).hexdigest()
