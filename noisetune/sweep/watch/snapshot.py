"""Where a running sweep stands, as its driver writes it and others read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Slot:
    """What runs: its stage after `step` of `steps` epochs (None: not known), the last `value` of
    the sweep's objective, and for how many `seconds` it has run."""

    trial: str
    stage: str
    step: int
    steps: int | None
    value: float | None
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """Where a running sweep stands.

    `counts` are by condition and state, replicates apart, `best` by condition. `per_hour` are the
    trials that this driver saw end; `hours_left` is a range, None where nothing was measured yet.
    `hours` and `gpu_hours` are those of all drivers, the latter of `gpu_budget` if there is one.
    """

    metric: str
    ended: int
    size: int
    counts: dict[str, dict[str, int]]
    best: dict[str, float]
    slots: list[Slot] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    per_hour: float | None = None
    hours_left: tuple[float, float] | None = None
    hours: float = 0.0
    gpu_hours: float = 0.0
    gpu_budget: float | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Snapshot":
        left = raw["hours_left"]
        slots = [Slot(**slot) for slot in raw["slots"]]
        return cls(**{**raw, "slots": slots, "hours_left": None if left is None else tuple(left)})


def read_snapshot(path: Path) -> Snapshot | None:
    """What a driver wrote last; None where that is nothing, or of another version."""
    try:
        return Snapshot.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
