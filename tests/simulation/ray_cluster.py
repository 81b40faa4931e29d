"""A Ray of a world: actors are processes in it, and Tune's loop is cut down to what we rely on.

The trainable, the searcher and the scheduler in it are the product's own.
"""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from world import Process, World

from noisetune.sweep.execution.adapters import TuneScheduler, TuneSearcher
from noisetune.sweep.execution.runner import Runner
from noisetune.sweep.execution.slots import Host
from noisetune.sweep.execution.trainable import Pipeline, make_trainable
from noisetune.sweep.home import Home
from noisetune.sweep.spec.sweep import Sweep

SLOTS = 2
LOST = "ActorDiedError: the actor died unexpectedly"


@dataclass(eq=False)
class Trial:
    """A trial as Tune has it."""

    trial_id: str
    config: dict[str, Any]
    status: str = "PENDING"
    actor: "Actor | None" = None
    error_file: None = None


class Actor:
    """A process that runs steps of a trainable, one order after the other."""

    def __init__(self, world: World, number: int, trainable: type, driver: Process) -> None:
        # Without the beginning that Ray gives it, which looks for folders and addresses.
        self.world, self.trainable = world, trainable.__new__(trainable)
        self.process = world.process(f"{driver.name}.actor{number}", driver.host)
        self.orders: list[Callable[[], Any]] = []
        self.answers: list[tuple[float, Any]] = []
        self.closed = self._begun = False
        world.spawn(self.process, "main", self._work)

    def begin(self, config: dict[str, Any]) -> None:
        self.orders.append(lambda: self._begin(config))

    def _begin(self, config: dict[str, Any]) -> None:
        begin = self.trainable.reset_config if self._begun else self.trainable.setup
        begin(config)
        self._begun = True

    def step(self) -> None:
        self.orders.append(self._step)

    def _step(self) -> None:
        result = self.trainable.step()
        self.answers.append((self.world.now + self.world.random.uniform(0.0, 0.2), result))

    def end(self) -> None:
        self.closed = True

    def _work(self) -> None:
        world = self.world
        while True:
            world.pause(float("inf"), lambda: bool(self.orders) or self.closed)
            if self.closed:
                return self.trainable.cleanup() if self._begun else None
            self.orders.pop(0)()

    @property
    def dead(self) -> bool:
        return self.world.is_dead(self.process)

    @property
    def answered(self) -> bool:
        return bool(self.answers) and self.answers[0][0] <= self.world.now


class Ray(Runner):
    """The Ray of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def session(self, *_: object) -> AbstractContextManager[None]:
        return nullcontext()

    def hosts(self) -> list[Host]:
        return [{"CPU": float(SLOTS)}]

    def run(self, sweep: Sweep, home: Home, searcher: TuneSearcher, pipeline: Pipeline) -> None:
        Tune(self.world, searcher, make_trainable(pipeline)).fit()


@dataclass(eq=False)
class Tune:
    """Its loop: ask for trials, start them where there is room, hear of steps, do as is decided."""

    world: World
    searcher: TuneSearcher
    trainable: type
    trials: list[Trial] = field(default_factory=list)
    idle: list[Actor] = field(default_factory=list)

    def fit(self) -> None:
        task = self.world.task
        assert task is not None
        self._driver, self._numbers = task.process, itertools.count(1)
        self._scheduler, self._asking = TuneScheduler(self.searcher), True
        try:
            while self._asking or self.get_live_trials():
                self._ask()
                self._start()
                self._hear()
        finally:
            for actor in [*self.idle, *(each.actor for each in self.trials if each.actor)]:
                actor.end()

    def get_live_trials(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.status != "TERMINATED"]

    def pause_trial(self, trial: Trial, should_checkpoint: bool) -> None:
        self._let_go(trial, "PAUSED")

    def request_stop_trial(self, trial: Trial) -> None:
        raise AssertionError("no host leaves here")

    def _of(self, status: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == status]

    def _ask(self) -> None:
        while self._asking and len(self._of("PENDING")) < SLOTS:
            number = str(next(self._numbers))
            given = self.searcher.suggest(number)
            if given == Searcher.FINISHED:
                self._asking = False
            elif given is None:
                return
            else:
                self.trials.append(Trial(number, given))

    def _start(self) -> None:
        while len(self._of("RUNNING")) < SLOTS:
            trial = self._scheduler.choose_trial_to_run(self)
            if trial is None:
                return
            self.idle = [actor for actor in self.idle if not actor.dead]
            trial.actor = self.idle.pop() if self.idle else self._actor()
            trial.actor.begin(trial.config)
            trial.actor.step()
            trial.status = "RUNNING"

    def _actor(self) -> Actor:
        return Actor(self.world, next(self._numbers), self.trainable, self._driver)

    def _hear(self) -> None:
        """Of one that has an answer, or died; or of none, after a while."""
        running = self._of("RUNNING")
        if not running:
            return self.world.pause(self.world.now + 0.1)
        answers = [trial.actor.answers[0][0] for trial in running if trial.actor.answers]
        soon = min([self.world.now + 5.0, *answers])
        self.world.pause(soon, lambda: any(each.actor.answered for each in running))
        heard = [each for each in running if each.actor.answered or each.actor.dead]
        if not heard:
            return
        trial = self.world.random.choice(heard)
        if trial.actor.answered:
            self._result(trial, trial.actor.answers.pop(0)[1])
        else:
            self._died(trial)

    def _died(self, trial: Trial) -> None:
        trial.actor, trial.status = None, "TERMINATED"
        self._scheduler.on_trial_error(self, trial)
        self.searcher.causes[trial.trial_id] = LOST
        self.searcher.on_trial_complete(trial.trial_id, error=True)

    def _result(self, trial: Trial, result: dict[str, Any]) -> None:
        # What is done is not shown to the scheduler.
        decision = TrialScheduler.STOP
        if not result["done"]:
            decision = self._scheduler.on_trial_result(self, trial, result)
        if decision == TrialScheduler.STOP:
            self._let_go(trial, "TERMINATED")
            self.searcher.on_trial_complete(trial.trial_id, result)
        elif decision == TrialScheduler.CONTINUE:
            assert trial.actor is not None
            trial.actor.step()

    def _let_go(self, trial: Trial, status: str) -> None:
        """Its actor is kept for the next one, unless it is needed to be another's."""
        assert trial.actor is not None
        self.idle.append(trial.actor)
        trial.actor, trial.status = None, status
