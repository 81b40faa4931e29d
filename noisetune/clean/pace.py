"""How far a plan is, and how long the rest takes."""

import time
from collections.abc import Mapping

from noisetune.records import FOLD, PRETRAIN, Event, MetricPoint, Tick


class Pace:
    """The progress of stages that are expected to take so many `seconds`, by name in their order.

    What comes from the store is done, and says nothing of how fast this machine is. The folds are
    gone through in so many `rounds`; pre-training says what it did in `epochs`.
    """

    def __init__(self, seconds: Mapping[str, float], rounds: int, epochs: int) -> None:
        self._seconds, self._rounds, self._epochs = seconds, rounds, epochs
        self._shares: dict[str, float] = {}
        self._round = 0
        self._given = 0.0
        self._began, self._wall = time.monotonic(), time.time()

    @property
    def done(self) -> float:
        """The share that is done, 0..1."""
        return self._planned / (sum(self._seconds.values()) or 1.0)

    @property
    def left(self) -> float | None:
        """The seconds that the rest takes at the pace until now; None before anything is done."""
        here = self._planned - self._given
        if here <= 0:
            return None
        passed = time.monotonic() - self._began
        return passed * (sum(self._seconds.values()) - self._planned) / here

    def heard(self, event: Event) -> None:
        """Take note of an event of one of the stages; others say nothing."""
        if isinstance(event, MetricPoint) and event.stage == PRETRAIN:
            self._set(PRETRAIN, event.step / self._epochs, given=event.made < self._wall)
        elif isinstance(event, Tick) and event.stage != PRETRAIN:
            share = self._of_all_rounds(event.done) if event.stage == FOLD else event.done
            self._set(event.stage, share)

    @property
    def _planned(self) -> float:
        """The seconds that what is done was expected to take."""
        return sum(share * self._seconds[name] for name, share in self._shares.items())

    def _of_all_rounds(self, done: float) -> float:
        """A new round begins where the folds begin again."""
        if (self._round + done) / self._rounds + 1e-9 < self._shares.get(FOLD, 0.0):
            self._round = min(self._round + 1, self._rounds - 1)
        return (self._round + done) / self._rounds

    def _set(self, stage: str, share: float, given: bool = False) -> None:
        if stage not in self._seconds:
            return
        names = list(self._seconds)
        for earlier in names[: names.index(stage)]:
            # Of a stage that comes from the store as a whole nothing is heard.
            self._raise(earlier, 1.0, given=earlier not in self._shares)
        self._raise(stage, min(1.0, share), given)

    def _raise(self, stage: str, share: float, given: bool) -> None:
        gained = share - self._shares.get(stage, 0.0)
        if gained > 0:
            self._shares[stage] = share
            self._given += gained * self._seconds[stage] if given else 0.0
