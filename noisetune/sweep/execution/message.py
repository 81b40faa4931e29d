"""What a trainable says to the driver with each step, through Ray: JSON, and bytes beside it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from noisetune.records import MetricPoint, TrialResult

KEY, PREDICTIONS = "noisetune", "noisetune_predictions"
"""Under which a message stands in a result of Ray's: what is JSON, and what is not."""


@dataclass(frozen=True)
class Message:
    """New metric points of a trial, and what became of it.

    `waiting`: another process computes the stage that it needs next. It has ended where it is
    `finished`, or there is an `error`: the reason in one line, with the `trace` of what was not
    foreseen; `diverged` says that its training did, and `chance` the accuracy (0..1) of guessing on
    its data, where that is known; `out_of_memory` that it is worth another try with more of a GPU,
    `machine` that the machine is the cause, and that it would not end so on another one.
    `predictions` come as a file's content, in a message of their own before the end.
    """

    points: tuple[MetricPoint, ...] = ()
    waiting: bool = False
    finished: TrialResult | None = None
    error: str | None = None
    trace: str | None = None
    out_of_memory: bool = False
    machine: bool = False
    diverged: bool = False
    chance: float | None = None
    predictions: bytes | None = None

    @property
    def done(self) -> bool:
        """Whether the trial has ended."""
        return self.finished is not None or self.error is not None

    def to_result(self) -> dict[str, Any]:
        """The message as a step's result, in Ray's words."""
        plain = asdict(replace(self, finished=None, predictions=None))
        if self.finished is not None:
            plain["finished"] = self.finished.to_json()
        del plain["predictions"]
        kept = {} if self.predictions is None else {PREDICTIONS: self.predictions}
        return {KEY: json.dumps(plain), "done": self.done, **kept}

    @classmethod
    def from_result(cls, result: Mapping[str, Any] | None) -> Self:
        """The message in a result of Ray's; an empty one where there is none."""
        given = result or {}
        raw = json.loads(given.get(KEY, "{}"))
        finished = raw.pop("finished", None)
        return cls(
            points=tuple(map(MetricPoint.from_json, raw.pop("points", ()))),
            finished=None if finished is None else TrialResult.from_json(finished),
            predictions=given.get(PREDICTIONS),
            **raw,
        )
