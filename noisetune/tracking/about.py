"""What MLflow shows of runs beside what they do: their names, source, data and descriptions."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from noisetune.records import TrialRecord
from noisetune.tracking.run_names import Words


@dataclass(frozen=True)
class DataSet:
    """A data set as MLflow names it.

    `digest` tells it from every other one, in at most 36 characters; `settings` say where it is
    from, and `profile` how much it is.
    """

    name: str
    digest: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class About:
    """What the driver knows of a sweep's runs.

    `words` are the few characters of each condition, `source` MLflow's tags on who ran what, and
    `data` gives the data sets of trials by their configuration, none where they are not known.
    """

    words: Mapping[str, Words] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    data: Callable[[Mapping[str, Any]], list[DataSet]] = lambda config: []

    def of_sweep(self) -> dict[str, Any]:
        """What is told of the sweep's own run whenever it begins or ends."""
        return {"tags": dict(self.source)}

    def of_trial(self, trial: TrialRecord) -> dict[str, Any]:
        """What is told of a trial when it begins."""
        words = self.words.get(trial.condition)
        place = trial.kind, trial.number, int(trial.config.get("replicate", 0))
        name = {} if words is None else {"name": words.run_name(*place)}
        return name | {
            "tags": trial_tags(trial) | dict(self.source),
            "note": trial_note(trial),
            "datasets": [each.to_json() for each in self.data(trial.config)],
        }


NOTHING = About()


def trial_tags(trial: TrialRecord) -> dict[str, str]:
    """What runs are grouped by: each factor, the seed, and the number of a replicate, or of the
    search that is one."""
    factors = {name: str(value) for name, value in trial.factors.items()}
    seed = trial.config.get("replicate", 0)
    number = trial.number if trial.kind == "replicate" else seed
    is_one = trial.kind == "replicate" or seed
    replicate = {"noisetune.replicate": str(number)} if is_one else {}
    return factors | replicate | {"noisetune.seed": str(seed)}


def trial_note(trial: TrialRecord) -> str:
    """The description of a trial's run, as Markdown: its condition and its parameters."""
    what = "search trial" if trial.kind == "search" else "replicate"
    rows = [f"| `{name}` | `{value}` |" for name, value in trial.parameters.items()]
    table = ["| parameter | value |", "| --- | --- |", *rows] if rows else ["Nothing is searched."]
    return "\n".join([f"Condition `{trial.condition}`, {what} {trial.number}.", "", *table])
