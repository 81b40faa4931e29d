"""A sweep in small: every condition of it, at a size that a CPU does in a minute or two."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noisetune.config import SELECTORS, TrialConfig
from noisetune.plugins import PluginConfig
from noisetune.ssl.base import GivenEncoder
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import NAME_RULE
from noisetune.sweep.spec.factors import Factor
from noisetune.sweep.spec.overrides import override

SUFFIX = "-smoke"
MOST_TRIALS = 2
ALL = math.inf
"""What `train_samples: null` counts as."""

SMALL: dict[str, int] = {
    "data.train_samples": 256,
    "data.test_samples": 128,
    "pretrain.epochs": 1,
    "pretrain.stop.every": 1,
    "finetune.epochs": 2,
    "finetune.probe_epochs": 1,
    "detect.folds": 2,
    "telemetry.samples": 64,
    "telemetry.probe_iterations": 5,
}
"""The fields that are made small, each with its smallest value; plug-ins say which of their own are
(`PluginConfig.smallest`).

Several values of one field stay apart and in order: they become the smallest, the one after it,
and so on.
"""

LARGE_BY_DEFAULT = (
    "data.train_samples", "data.test_samples", "pretrain.epochs", "finetune.epochs",
    "finetune.probe_epochs",
)  # fmt: skip

OF_FULL_WIDTH: dict[str, int] = {"data.train_samples": 32, "data.test_samples": 16}
"""Where weights are given, the backbone is theirs: fewer images make up for its size."""

Shrink = Callable[[str, Any], Any]


@dataclass
class Substitutes:
    """New values by field and old value; `everywhere` those of fields that stand in no file."""

    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    everywhere: dict[str, Any] = field(default_factory=dict)

    def add(self, section: str, config: Any, new: Mapping[str, Any]) -> None:
        """Take the fields of a stand-in for the plug-in `config` of a section."""
        for name, value in new.items():
            path, old = f"{section}.{name}", getattr(config, name)
            self.values[path, str(old)] = value
            if old == type(config).model_fields[name].default:
                self.everywhere[path] = value

    def replace(self, path: str, value: Any) -> Any:
        """The value that a smoke run has instead."""
        return self.values.get((path, str(Path(value) if isinstance(value, str) else value)), value)


def smoke(
    definition: Mapping[str, Any], trials: list[TrialConfig], substitutes: Substitutes
) -> dict[str, Any]:
    """The definition of a sweep and its space, in small and under a name that says so.

    `trials` are those at the corners of its conditions. Every condition stays, under its own
    name, with the values of `SMALL` in place of its own.
    """
    sweep, space = definition["sweep"], definition["space"]
    smallest = _smallest(trials)
    known = _shrinker(trials, sweep["enqueue"], smallest)

    def shrink(path: str, value: Any) -> Any:
        return known(path, substitutes.replace(path, value))

    small = _trial(sweep["trial"], trials, shrink, smallest)
    for path, value in substitutes.everywhere.items():
        small = override(small, path, value)
    return {
        "sweep": sweep
        | {
            "name": _name(sweep["name"]),
            "smoke": True,
            "trial": small,
            "objective": sweep["objective"]
            | {"allow_uninformative": not sweep["objective"]["oracle"]},
            "trials_per_condition": min(sweep["trials_per_condition"], MOST_TRIALS),
            "replicates": _replicates(sweep["replicates"]),
            "comparisons": sweep["comparisons"]
            | {"against": _each(sweep["comparisons"]["against"] or {}, shrink) or None},
            "pretraining_designs": sweep["pretraining_designs"] and MOST_TRIALS,
            "settings": _drawn(sweep["settings"]),
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
                path: _parameter(path, parameter, shrink, smallest)
                for path, parameter in space["parameters"].items()
            },
        },
    }


def _replicates(written: Any) -> Any:
    """So few that nothing is judged: replicates that would grow are a number here."""
    if isinstance(written, Mapping) and "count" in written:
        fewer = min(written["trials"], MOST_TRIALS)
        return dict(written) | {"trials": fewer, "count": _replicates(written["count"])}
    return min(written, MOST_TRIALS) if isinstance(written, int) else MOST_TRIALS


def _drawn(written: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Fewer of the settings that are drawn once."""
    if written is None:
        return None
    return dict(written) | {"count": min(written["count"], MOST_TRIALS)}


def _smallest(trials: list[TrialConfig]) -> dict[str, int]:
    """The smallest value of every field that is made small, those of plug-ins too."""
    given = any(isinstance(trial.pretrain, GivenEncoder) for trial in trials)
    smallest = SMALL | (OF_FULL_WIDTH if given else {})
    for trial in trials:
        for section in SELECTORS:
            plugin: PluginConfig = getattr(trial, section)
            if not (given and section == "model"):
                own = {f"{section}.{name}": value for name, value in plugin.smallest.items()}
                smallest |= {path: max(own[path], smallest.get(path, 0)) for path in own}
    return smallest


def corner_trials(conditions: list[Condition]) -> list[TrialConfig]:
    """A trial at every corner of every condition: each value of each field is in one."""
    return [condition.trial(values) for condition in conditions for values in condition.corners()]


def _shrinker(
    trials: list[TrialConfig], enqueued: list[dict[str, Any]], smallest: dict[str, int]
) -> Shrink:
    """What a value of a field becomes: never more than it is, and the order of values stays."""
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
    raw: Mapping[str, Any], trials: list[TrialConfig], shrink: Shrink, smallest: Mapping[str, int]
) -> dict[str, Any]:
    """The fixed part: small where it says how large, and where it leaves that to a default."""
    small = _each(raw, shrink)
    plugins_own = [path for path in smallest if path not in SMALL]
    for path in (*LARGE_BY_DEFAULT, *plugins_own):
        section, name = path.split(".")
        owner = next((each for each in trials if hasattr(getattr(each, section), name)), None)
        if name not in (raw.get(section) or {}) and owner is not None:
            default = type(getattr(owner, section)).model_fields[name].default
            small = override(small, path, shrink(path, default))
    if (small.get("telemetry") or {}).get("epochs"):
        small = override(small, "telemetry.epochs", [1])
    if "device" in (small.get("runtime") or {}):
        small = override(small, "runtime.device", "cpu")
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


def _parameter(
    path: str, parameter: Mapping[str, Any], shrink: Shrink, smallest: Mapping[str, int]
) -> dict[str, Any]:
    small = dict(parameter)
    if small["choices"] is not None:
        small["choices"] = list(dict.fromkeys(shrink(path, each) for each in small["choices"]))
    elif path in smallest:
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
