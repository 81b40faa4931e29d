"""A cluster that is none: as many shares of GPUs as one likes, and trials that take their time on a
clock of their own."""

import heapq
import itertools
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from random import Random
from types import FrameType, SimpleNamespace
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from noisetune.sweep.execution.adapters import TuneScheduler, TuneSearcher
from noisetune.sweep.execution.runner import Runner
from noisetune.sweep.execution.slots import Host
from noisetune.sweep.execution.stop import TUNES
from noisetune.sweep.execution.trainable import Pipeline, make_trainable
from noisetune.sweep.home import Home
from noisetune.sweep.spec.sweep import Sweep


@dataclass(eq=False)
class Slot:
    """A share of a GPU, and the trial on it; it works until `over`."""

    actor: Any = None
    trial: Any = None
    over: float = 0.0


@dataclass
class Cluster(Runner):
    """As many `slots` as there are shares of so much of a `gpu`.

    A step of a trial takes `seconds` on average (from half of that to three halves, uniform) of a
    clock that goes on with the steps, and with what the driver itself takes, which is measured. So
    a slot is idle while the driver is busy with others. What Ray does is not there, nor the CPUs'
    part of a trial.

    `driver` is the driver's seconds. From the moment in which all slots were `full` until the last
    trial of `begun` ones began, at `end`, they `waited` for so many seconds, all together.
    """

    slots: int
    gpu: float
    seconds: float = 0.0
    seed: int = 0
    now: float = 0.0
    driver: float = 0.0
    begun: int = 0
    full: float | None = None
    end: float = 0.0
    waited: float = 0.0
    handled: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = deque(Slot() for _ in range(self.slots))
        self._busy: list[tuple[float, int, Slot]] = []
        self._numbers, self._random = itertools.count(), Random(self.seed)
        self._idle = 0.0

    @property
    def idle_share(self) -> float | None:
        """Of the time of all slots; None where they were never all full."""
        if self.full is None or self.end <= self.full:
            return None
        return self.waited / (self.slots * (self.end - self.full))

    def session(self, *_: object) -> AbstractContextManager[None]:
        return nullcontext()

    def hosts(self) -> Sequence[Host]:
        return [{"CPU": self.slots, "GPU": math.ceil(self.slots * self.gpu)}]

    def run(self, sweep: Sweep, home: Home, searcher: TuneSearcher, pipeline: Pipeline) -> None:
        self._searcher, self._scheduler = searcher, TuneScheduler(searcher)
        self._trainable = make_trainable(pipeline)
        self._stopped = False
        before = signal.signal(TUNES, self._stop)
        try:
            self._serve()
        finally:
            signal.signal(TUNES, before)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """At Tune's signal trials end after their step, as they do there."""
        self._stopped = True

    def _serve(self) -> None:
        self._fill()
        while self._busy and not self._stopped:
            over, _, slot = heapq.heappop(self._busy)
            self.now = max(self.now, over)
            self._hear(slot)

    def _fill(self) -> None:
        while self._free:
            number = str(next(self._numbers))
            given = self._measured(self._searcher.suggest, number)
            if given is None or given == Searcher.FINISHED:
                return
            self._begin(self._free.popleft(), number, given)
        if not self._free and self.full is None:
            self.full = self.now

    def _begin(self, slot: Slot, number: str, given: dict[str, Any]) -> None:
        slot.trial = SimpleNamespace(trial_id=number)
        if slot.actor is None:
            # Without the beginning that Ray gives it, which looks for folders and addresses.
            slot.actor = self._trainable.__new__(self._trainable)
            slot.actor.setup(given)
        else:
            slot.actor.reset_config(given)
        self._work(slot)
        self.begun, self.end, self.waited = self.begun + 1, self.now, self._idle

    def _work(self, slot: Slot) -> None:
        """Let the next step begin, as long as its slot had nothing to do."""
        if self.full is not None:
            self._idle += self.now - max(slot.over, self.full)
        slot.over = self.now + self.seconds * self._random.uniform(0.5, 1.5)
        heapq.heappush(self._busy, (slot.over, next(self._numbers), slot))

    def _hear(self, slot: Slot) -> None:
        result, decision = slot.actor.step(), TrialScheduler.STOP
        if not result["done"]:
            began = self.driver
            heard = self._scheduler.on_trial_result
            decision = self._measured(heard, None, slot.trial, result)
            self.handled.append(self.driver - began)
        if decision == TrialScheduler.CONTINUE:
            return self._work(slot)
        self._measured(self._searcher.on_trial_complete, slot.trial.trial_id, result)
        self._free.append(slot)
        self._fill()

    def _measured(self, call: Callable[..., Any], *given: Any) -> Any:
        began = time.perf_counter()
        answer = call(*given)
        took = time.perf_counter() - began
        self.driver, self.now = self.driver + took, self.now + took
        return answer
