"""How long epochs and trials took, and so how long the rest of a sweep will."""

import statistics
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from noisetune.records import FINETUNE, GATE, PRETRAIN, TELEMETRY, TrialRecord

HOUR = 3600.0
MEASURED = 200
"""Measurements of a kind that count: of an older one the machine may have been another."""
STARTING = "starting"
STAGES = (PRETRAIN, FINETUNE)
NEXT = {STARTING: PRETRAIN, GATE: FINETUNE, TELEMETRY: FINETUNE}
"""The stage of many epochs that comes after another one."""


@dataclass
class Running:
    """A trial that runs since a moment of the driver's clock, and the last point that it told."""

    trial: TrialRecord
    since: float
    stage: str = STARTING
    step: int = 0
    made: float = 0.0
    value: float | None = None

    def epochs(self, stage: str) -> int | None:
        """Of a stage, as the trial's configuration has it."""
        section = self.trial.config.get(stage)
        return section.get("epochs") if isinstance(section, Mapping) else None


@dataclass
class Pace:
    """Seconds of epochs by stage, and of whole trials, as they were measured."""

    epochs: dict[str, deque[float]] = field(default_factory=dict)
    trials: deque[float] = field(default_factory=lambda: deque(maxlen=MEASURED))

    def epoch(self, stage: str, seconds: float) -> None:
        self.epochs.setdefault(stage, deque(maxlen=MEASURED)).append(seconds)

    def hours_left(
        self, running: Collection[Running], to_come: int, slots: int, now: float
    ) -> tuple[float, float] | None:
        """Until the running trials and those `to_come` have ended, with so many `slots`.

        From the lower to the upper quartile of what was measured; None where that is nothing.
        """
        epochs = {stage: _quartiles(seconds) for stage, seconds in self.epochs.items()}
        trials = _quartiles(self.trials) if self.trials else (None, None)
        ends = [
            _Typical({stage: pair[end] for stage, pair in epochs.items()}, trials[end])
            for end in (0, 1)
        ]
        low, high = (each.seconds_left(running, to_come, slots, now) for each in ends)
        return None if low is None or high is None else (low / HOUR, high / HOUR)


@dataclass(frozen=True)
class _Typical:
    """Seconds of an epoch by stage, and of a whole trial, which are typical."""

    epochs: Mapping[str, float]
    trial: float | None

    def seconds_left(
        self, running: Collection[Running], to_come: int, slots: int, now: float
    ) -> float | None:
        whole = self._of_a_trial(running)
        rests = [self._rest(each, whole, now) for each in running]
        known = [rest for rest in rests if rest is not None]
        if len(known) < len(rests) or (to_come and whole is None):
            return None
        together = (sum(known) + to_come * (whole or 0.0)) / max(1, slots)
        return max([together, *known])

    def _of_a_trial(self, running: Collection[Running]) -> float | None:
        """Those of the trials before, else the epochs of one that runs."""
        if self.trial is not None:
            return self.trial
        like = next(iter(running), None)
        return None if like is None else self._epochs_left(like, PRETRAIN, 0)

    def _rest(self, trial: Running, whole: float | None, now: float) -> float | None:
        """What a running trial still takes."""
        step = trial.step if trial.stage in STAGES else 0
        stage = NEXT.get(trial.stage, trial.stage)
        measured = self._epochs_left(trial, stage, step) if stage in STAGES else None
        if measured is not None:
            return measured
        return None if whole is None else max(0.0, whole - (now - trial.since))

    def _epochs_left(self, trial: Running, stage: str, step: int) -> float | None:
        """The epochs of a stage behind `step`, and those of the stage after it."""
        stages = STAGES[STAGES.index(stage) :]
        epochs = {each: number for each in stages if (number := trial.epochs(each)) is not None}
        if not epochs or not epochs.keys() <= self.epochs.keys():
            return None
        epochs[stage] = max(0, epochs.get(stage, 0) - step)
        return sum(number * self.epochs[each] for each, number in epochs.items() if number)


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
