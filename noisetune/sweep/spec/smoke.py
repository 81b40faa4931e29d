"""A sweep in small: every condition of it, at a size that a CPU does in a minute or two."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noisetune.config import TrialConfig
from noisetune.ssl.base import GivenEncoder
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import NAME_RULE, override
from noisetune.sweep.spec.factors import Factor

SUFFIX = "-smoke"
NO_RESULTS = "smoke run: every condition in small; its figures are no results"
MOST_TRIALS = 2
ALL = math.inf
"""What `train_samples: null` counts as."""

SMALL: dict[str, int] = {
    "data.train_samples": 256,
    "data.test_samples": 128,
    "model.width": 4,
    "pretrain.epochs": 1,
    "pretrain.stop.every": 1,
    "finetune.epochs": 2,
    "finetune.probe_epochs": 1,
    "detect.folds": 2,
    "telemetry.samples": 64,
    "telemetry.probe_iterations": 5,
}
"""The fields that are made small, each with its smallest value.

Several values of one field stay apart and in order: they become the smallest, the one after it,
and so on.
"""

LARGE_BY_DEFAULT = (
    "data.train_samples", "data.test_samples", "model.width", "pretrain.epochs", "finetune.epochs",
    "finetune.probe_epochs",
)  # fmt: skip

OF_FULL_WIDTH: dict[str, int] = {"data.train_samples": 32, "data.test_samples": 16}
"""Where weights are given, the width is theirs: fewer images make up for that."""


@dataclass(frozen=True)
class StandIns:
    """What a smoke run uses in place of what is not there, so that it need not be downloaded.

    `made_up` images for the data sets that would be; files of human `labels`, by the path that
    the sweep names; a file of weights for `imagenet`.
    """

    made_up: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    imagenet: str | None = None


Shrink = Callable[[str, Any], Any]


def smoke(
    definition: Mapping[str, Any], trials: list[TrialConfig], stand_ins: StandIns
) -> dict[str, Any]:
    """The definition of a sweep and its space, in small and under a name that says so.

    `trials` are those at the corners of its conditions. Every condition stays, under its own
    name, with the values of `SMALL` in place of its own.
    """
    sweep, space = definition["sweep"], definition["space"]
    known = _shrinker(trials, sweep["enqueue"])

    def shrink(path: str, value: Any) -> Any:
        if path == "noise.path" and value is not None:
            return stand_ins.labels.get(str(Path(value)), value)
        return known(path, value)

    return {
        "sweep": sweep
        | {
            "name": _name(sweep["name"]),
            "smoke": True,
            "trial": _trial(sweep["trial"], trials, shrink, stand_ins),
            "objective": sweep["objective"]
            | {"allow_uninformative": not sweep["objective"]["oracle"]},
            "trials_per_condition": min(sweep["trials_per_condition"], MOST_TRIALS),
            "replicates": min(sweep["replicates"], MOST_TRIALS),
            "pretraining_designs": sweep["pretraining_designs"] and MOST_TRIALS,
            "enqueue": [_each(settings, shrink) for settings in sweep["enqueue"]],
            "resources": {"cpu": 1, "gpu": 0},
            "max_concurrent": None,
            "budget": {},
            # Its bounds are those of another width.
            "pretrain_gate": {},
            "warm_start": [],
            "replicate": [],
        },
        "space": {
            "conditions": {
                name: _factor(name, factor, shrink) for name, factor in space["conditions"].items()
            },
            "parameters": {
                path: _parameter(path, parameter, shrink)
                for path, parameter in space["parameters"].items()
            },
        },
    }


def corner_trials(conditions: list[Condition]) -> list[TrialConfig]:
    """A trial at every corner of every condition: each value of each field is in one."""
    return [condition.trial(values) for condition in conditions for values in condition.corners()]


def _shrinker(trials: list[TrialConfig], enqueued: list[dict[str, Any]]) -> Shrink:
    """What a value of a field becomes: never more than it is, and the order of values stays."""
    full_width = any(isinstance(trial.pretrain, GivenEncoder) for trial in trials)
    smallest = SMALL | (OF_FULL_WIDTH if full_width else {})
    if full_width:
        del smallest["model.width"]
    values = {
        path: sorted({*_values(trials, path), *(each[path] for each in enqueued if path in each)})
        for path in smallest
    }
    # A probe ends before fine-tuning does.
    smallest["finetune.epochs"] = 1 + len(values["finetune.probe_epochs"])

    def shrink(path: str, value: Any) -> Any:
        if path not in smallest or (value is None and not path.startswith("data.")):
            return value
        number = ALL if value is None else value
        return min(number, smallest[path] + bisect_left(values[path], number))

    return shrink


def _values(trials: list[TrialConfig], path: str) -> Iterator[float]:
    """The values that a field has in these trials, defaults and those of a protocol too."""
    for trial in trials:
        found: Any = trial
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not None:
            yield found
        elif path.startswith("data."):
            yield ALL


def _trial(
    raw: Mapping[str, Any], trials: list[TrialConfig], shrink: Shrink, stand_ins: StandIns
) -> dict[str, Any]:
    """The fixed part: small where it says how large, and where it leaves that to a default."""
    small = _each(raw, shrink)
    default = TrialConfig()
    for path in LARGE_BY_DEFAULT:
        section, name = path.split(".")
        if name not in (raw.get(section) or {}) and any(_values(trials, path)):
            value = shrink(path, getattr(getattr(default, section), name))
            small = override(small, path, value)
    if (small.get("telemetry") or {}).get("epochs"):
        small = override(small, "telemetry.epochs", [1])
    if "device" in (small.get("runtime") or {}):
        small = override(small, "runtime.device", "cpu")
    if stand_ins.made_up:
        small = override(small, "data.made_up", True)
    if stand_ins.imagenet:
        small = override(small, "pretrain.path", stand_ins.imagenet)
    return small


def _each(raw: Mapping[str, Any], shrink: Shrink, inside: str = "") -> dict[str, Any]:
    """Settings, in sections or by dotted fields, with every value made small."""
    small = {}
    for name, value in raw.items():
        path = f"{inside}{name}"
        deeper = isinstance(value, Mapping)
        small[name] = _each(value, shrink, f"{path}.") if deeper else shrink(path, value)
    return small


def _factor(name: str, factor: Factor, shrink: Shrink) -> Any:
    if isinstance(factor, Mapping):
        return {bundle: _each(settings, shrink) for bundle, settings in factor.items()}
    return [shrink(name, value) for value in factor]


def _parameter(path: str, parameter: Mapping[str, Any], shrink: Shrink) -> dict[str, Any]:
    small = dict(parameter)
    if small["choices"] is not None:
        small["choices"] = list(dict.fromkeys(shrink(path, each) for each in small["choices"]))
    elif path in SMALL:
        bounds = {bound: shrink(path, small[bound]) for bound in ("low", "high")}
        small |= bounds | {"step": None}
    small["when"] = {
        other: [shrink(other, each) for each in wanted]
        if isinstance(wanted, (list, tuple))
        else shrink(other, wanted)
        for other, wanted in small["when"].items()
    }
    return small


def _name(name: str) -> str:
    """The sweep's name with the suffix, cut where it would be too long."""
    marked = f"{name}{SUFFIX}"
    return marked if NAME_RULE.match(marked) else f"{name[: 100 - len(SUFFIX)]}{SUFFIX}"
