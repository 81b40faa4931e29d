"""One schedule: a sweep that users drive, resume and fight over in a world of its own."""

import gc
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from disk import Disk
from faults import NO_FAULTS, Faults
from mlflow_server import URI, Artifacts, Client, MlflowServer
from ray_cluster import Ray
from threads import Event, Thread
from world import EPOCH, Process, World

from noisetune.datasets import Datasets
from noisetune.errors import MachineError, UserError
from noisetune.records import TrialRecord
from noisetune.store import lease, process
from noisetune.sweep import closing, run
from noisetune.sweep.execution import trainable
from noisetune.sweep.home import Home, Site
from noisetune.sweep.study.recorded import begun_ledger
from noisetune.tracking import files, mlflow_runs, tracker
from sweeps import EPOCH_SECONDS, NAME, images, simulated_pipeline, simulated_sweep

PATIENCE = 12
MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one."""


@dataclass(frozen=True)
class Schedule:
    """What is run: a sweep by its name, a seed, faults, and users, each on a host of their own."""

    seed: int
    sweep: str = "random"
    faults: Faults = NO_FAULTS
    users: int = 1
    durable: bool = False

    @classmethod
    def drawn(cls, seed: int, durable: bool = False) -> "Schedule":
        """Of a seed: some kinds of faults, each rare or frequent."""
        random = Random(f"schedule {seed}")
        kinds = ("kill", "freeze", "delay", "jump", "lost", "unanswered")
        rates = {kind: random.choice([0.0, 0.003, 0.01, 0.05]) for kind in kinds}
        faults = Faults(**rates, switch=random.choice([0.0, 0.1, 0.5]), most=random.choice([3, 5]))
        sweep = random.choice(["random", "repeatable", "shared"])
        users, cut = random.choice([1, 1, 2]), random.choice([0.0, 0.0, 0.0, 0.005])
        return cls(seed, sweep, replace(faults, cut=cut), users, durable)


@dataclass
class Course:
    """What came of a schedule, for the invariants to be looked at.

    `ends` says how each drive ended. `writers` are who wrote to the ledger, the outbox and MLflow,
    in their order, each driver once where it wrote several times in a row. `overtaken` are the
    requests to MLflow that were on their way when another driver's came first.
    """

    schedule: Schedule
    world: World
    server: MlflowServer
    home: Home
    ends: list[str] = field(default_factory=list)
    writers: dict[str, list[str]] = field(default_factory=dict)
    overtaken: int = 0
    error: str | None = None

    @cached_property
    def records(self) -> list[TrialRecord]:
        sweep = simulated_sweep(self.schedule.sweep)
        return begun_ledger(self.home, NAME).records(sweep.cells)

    def wrote(self, what: str) -> None:
        """The process at work changes something that its sweep's drivers share."""
        task = self.world.task
        assert task is not None
        name = task.process.name
        writers = self.writers.setdefault(what, [])
        if writers[-1:] != [name]:
            writers.append(name)

    def asking(self) -> Callable[[], None]:
        """A request to MLflow is sent; what is to be called when it arrives."""
        before = self.writers.get("MLflow", [])[-1:]

        def arrived() -> None:
            if self.writers.get("MLflow", [])[-1:] == before:
                self.wrote("MLflow")
            else:
                self.overtaken += 1

        return arrived


@contextmanager
def run_through(schedule: Schedule) -> Iterator[Course]:
    """Run a schedule to its end; what it left behind is there inside."""
    memory = None if schedule.durable or not MEMORY.is_dir() else MEMORY
    with tempfile.TemporaryDirectory(prefix="noisetune-", dir=memory) as folder:
        world = World(schedule.seed, schedule.faults)
        server = MlflowServer(world, lambda: course.asking())
        course = Course(schedule, world, server, Home(Path(folder) / "mlruns"))
        disk = Disk(world, Path(folder), partial(_wrote, course), schedule.durable)
        collecting = gc.isenabled()
        gc.disable()
        try:
            with _product(world, server), disk.installed():
                users = [world.host(f"host{number}") for number in range(schedule.users)]
                for number, host in enumerate(users):
                    user = world.process(f"user{number}", host, mortal=False)
                    world.spawn(user, "main", partial(_drive_on, course, user, number))
                world.run()
        except Exception as error:
            course.error = f"{type(error).__name__}: {error}"
        finally:
            if collecting:
                gc.enable()
        yield course


def _wrote(course: Course, path: str) -> None:
    for what in ("ledger.journal", "outbox.jsonl"):
        if path.endswith(what):
            course.wrote(what)


def _drive_on(course: Course, user: Process, number: int) -> None:
    """What a user does: begin the sweep, and resume it until it is finished."""
    world = course.world
    if number:
        world.pause(world.now + world.random.uniform(0.0, 60.0))
    for attempt in range(PATIENCE):
        if attempt == PATIENCE - 3:
            world.faults_left = 0
        driver = world.process(f"driver{number}.{attempt}", user.host)
        driver.parent = None
        ends: list[str] = []
        task = world.spawn(driver, "main", partial(_drive, course, ends))
        world.pause(float("inf"), lambda task=task: task.over)
        world.kill(driver)
        end = ends[0] if ends else "killed"
        world.note(f"{driver.name} ended: {end}")
        course.ends.append(end)
        if end.startswith("broken") or (end == "finished" and world.random.random() < 0.9):
            return
        # A clock may have been set back by more than an hour since a driver died.
        soon = world.random.choice([0.1, 10.0, 40.0]) if world.faults_left else 5000.0
        world.pause(world.now + soon)


def _drive(course: Course, ends: list[str]) -> None:
    schedule, world = course.schedule, course.world
    site = Site(course.home, str(course.home.stages), tracking_uri=URI)
    pipeline = simulated_pipeline(lambda: world.random.expovariate(1 / EPOCH_SECONDS))
    sweep = simulated_sweep(schedule.sweep)
    try:
        ray = Ray(world)
        outcome = run.drive(sweep, site, resume=True, pipeline=pipeline, runner=ray)
    except (UserError, MachineError) as error:
        ends.append(f"{type(error).__name__}: {error}")
    except Exception as error:
        ends.append(f"broken: {type(error).__name__}: {error}")
        raise
    else:
        told = outcome.delivered and outcome.scheduler.finished
        ends.append("finished" if told else f"stopped: {outcome.scheduler.stopped}")


@contextmanager
def _product(world: World, server: MlflowServer) -> Iterator[None]:
    """The product in a world: its clocks, threads and processes, its Ray and its MLflow."""
    threads = SimpleNamespace(
        Event=partial(Event, world), Thread=partial(Thread, world), current_thread=lambda: None
    )
    ids = Random(f"ids {world.random.random()}")
    with pytest.MonkeyPatch.context() as patch:
        for module in (lease, tracker):
            patch.setattr(module, "threading", threads)
        _clocks(patch, world)
        _processes(patch, world)
        patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=ids.getrandbits(128), version=4))
        patch.setattr(trainable, "ray", SimpleNamespace(is_initialized=lambda: False))
        patch.setattr(mlflow_runs, "MlflowClient", lambda uri: Client(server))
        patch.setattr(files, "get_artifact_repository", lambda run, **_: Artifacts(server, run))
        patch.setattr(Datasets, "load", lambda self, config: images(config))
        # What takes long, and is neither written in small steps nor told to anybody but a reader.
        patch.setattr(run, "preflight", lambda *_: None)
        patch.setattr(run, "note_drive", lambda *_: None)
        patch.setattr(run, "resolutions", lambda *_: ())
        patch.setattr(run, "sweep_log", lambda *_: nullcontext())
        patch.setattr(run, "summary", lambda *_: "")
        patch.setattr(run, "about", lambda *_: tracker.NOTHING)
        patch.setattr(closing.Closing, "_files", lambda *_: None)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        yield


def _clocks(patch: pytest.MonkeyPatch, world: World) -> None:
    """Those that the product reads; threads that are not of the world have their own."""
    real = {name: getattr(time, name) for name in ("time", "monotonic", "sleep", "clock_gettime")}

    def read(name: str, value: Any) -> None:
        def clock(*arguments: Any) -> Any:
            return real[name](*arguments) if world.task is None else value(*arguments)

        patch.setattr(time, name, clock)

    read("time", lambda: EPOCH + world.now + world.task.process.host.skew)
    read("monotonic", lambda: world.now)
    read("clock_gettime", lambda kind: world.now)
    read("sleep", lambda seconds: world.pause(world.now + seconds))


def _processes(patch: pytest.MonkeyPatch, world: World) -> None:
    def mine() -> Process:
        assert world.task is not None
        return world.task.process

    def gone(pid: int, started: int) -> bool:
        return pid not in world.processes or world.is_dead(world.processes[pid])

    pid = os.getpid
    patch.setattr(os, "getpid", lambda: pid() if world.task is None else mine().pid)
    patch.setattr(socket, "gethostname", lambda: mine().host.name)
    patch.setattr(process, "boot", lambda: mine().host.boot)
    patch.setattr(process, "process_space", lambda: mine().host.boot)
    patch.setattr(process, "since_boot", lambda: world.now)
    patch.setattr(process, "start_of", lambda pid: 1)
    patch.setattr(process, "is_gone", gone)
