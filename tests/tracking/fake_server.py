"""A tracking server in memory, that fails when it is asked to."""

import threading
from collections.abc import Sequence

from noisetune.records import MetricPoint, TrialRecord
from noisetune.tracking.messages import Message
from noisetune.tracking.telling import Receiver, RefusedError
from noisetune.tracking.tracker import Tracker

LONG = 20.0
"""Seconds after which a test fails rather than waits on."""


class Server(Receiver):
    """Is told messages, and fails when it is asked to: `connect` raises while it is `away`."""

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.connections = self.refusals = 0
        self.batches: list[int] = []
        self.away = False
        self.refused: set[int] = set()
        """The steps that it never takes a message of."""
        self.apply_before_failing: list[tuple[int, type[BaseException]]] = []
        """How many messages of a coming batch are taken before it fails, and with what."""
        self.more = threading.Condition()

    def connect(self) -> "Server":
        if self.away:
            self.refusals += 1
            raise ConnectionError("nobody there")
        self.connections += 1
        return self

    def apply(self, messages: Sequence[Message]) -> None:
        if self.away:
            raise ConnectionError("gone")
        if refused := [each for each in messages if each.get("step") in self.refused]:
            raise RefusedError(f"never {refused[0]['step']}")
        self.batches.append(len(messages))
        if self.apply_before_failing:
            taken, error = self.apply_before_failing.pop(0)
            self.told += messages[:taken]
            raise error
        with self.more:
            self.told += messages
            self.more.notify_all()

    def waits_for(self, messages: int) -> None:
        """Until it was told so many."""
        with self.more:
            assert self.more.wait_for(lambda: len(self.told) >= messages, LONG)

    @property
    def numbers(self) -> list[int]:
        return [message["step"] for message in self.told]


TRIAL = TrialRecord(
    name="noise.rate=0.4 trial 0",
    condition="noise.rate=0.4",
    factors={"noise.rate": 0.4},
    kind="search",
    number=0,
    state="running",
    parameters={"finetune.lr": 0.01},
    config={"finetune": {"lr": 0.01, "epochs": 3}, "replicate": 0},
)


def say(tracker: Tracker, steps: Sequence[int]) -> None:
    for step in steps:
        tracker.point(TRIAL, MetricPoint("finetune", step, {"val/accuracy": 0.5}, made=float(step)))
