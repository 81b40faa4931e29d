"""What is told of a sweep, as records that JSON holds."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from noisetune.records import MetricPoint, Metrics, TrialRecord
from noisetune.texts import shortened
from noisetune.tracking.about import NOTHING, About

Message = dict[str, Any]
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Several times as fast where PyYAML was built with its library."""

FIELDS = {
    "sweep": {"state", "parameters", "made"},
    "started": {"trial", "trial_kind", "condition", "parameters", "made"},
    "point": {"trial", "step", "values", "made"},
    "result": {"trial", "result"},
    "ended": {"trial", "state", "values", "made"},
    "tags": {"trial", "tags"},
    "artifact": {"trial", "path", "text"},
    "file": {"trial", "path", "file"},
    "model": {"trial", "path", "folder", "name"},
    "system": {"step", "values", "made"},
}
"""What a message of each kind needs. What it may have besides, an earlier version did not say."""


def missing_fields(message: Message) -> list[str]:
    """What a message lacks; nothing of a kind that is not known, which tells nothing."""
    return sorted(FIELDS.get(message.get("kind", ""), {"kind"}) - message.keys())


def config_text(config: Mapping[str, Any]) -> str:
    """A trial's configuration as the YAML file that MLflow has of it."""
    return yaml.dump(dict(config), Dumper=DUMPER, sort_keys=False)


def new_message(kind: str, made: float | None = None, **more: Any) -> Message:
    """A message of this moment, or of another one (Unix seconds)."""
    return {"kind": kind, **more, "made": time.time() if made is None else made}


def shown(message: Message) -> str:
    """What a message is, in few words."""
    path = f" {shortened(message['path'], 60)}" if "path" in message else ""
    trial = message.get("trial")
    return f"{message.get('kind')}{path}" + (f" of {shortened(trial, 100)!r}" if trial else "")


def sweep_message(
    state: str, parameters: Mapping[str, Any], made: float | None = None, **more: Any
) -> Message:
    """The sweep itself: running, or how it ended. Settings that have no value are left out.

    `more` may be its description (`note`), `tags` and `datasets`.
    """
    given = {name: value for name, value in parameters.items() if value not in (None, "", [])}
    return new_message("sweep", made, state=state, parameters=given, **more)


def started_message(
    trial: TrialRecord, made: float | None = None, about: About = NOTHING
) -> Message:
    """A trial begins, or is taken up again.

    Its parameters are what varies, factors and searched values, so that MLflow compares these;
    the configuration has all, and is a file.
    """
    return new_message(
        "started",
        made,
        trial=trial.name,
        condition=trial.condition,
        trial_kind=trial.kind,
        parameters=trial.factors | trial.parameters,
        config=trial.config,
        **about.of_trial(trial),
    )


def point_message(trial: TrialRecord, point: MetricPoint) -> Message:
    return new_message(
        "point",
        point.made,
        trial=trial.name,
        stage=point.stage,
        step=point.step,
        values=point.values,
    )


def ended_message(trial: TrialRecord, made: float | None = None) -> Message:
    return new_message(
        "ended",
        made,
        trial=trial.name,
        state=trial.state,
        reason=trial.reason,
        values=trial.metrics,
    )


def interrupted_message(trial: TrialRecord, made: float | None = None) -> Message:
    """The sweep was stopped while this trial ran; it is taken up again by a resume."""
    reason = "the sweep was stopped; a resume goes on with this trial"
    return new_message(
        "ended",
        made,
        trial=trial.name,
        state="interrupted",
        reason=reason,
        values={},
    )


def system_message(values: Metrics) -> Message:
    """What the driver's machine is doing at this moment."""
    made = time.time()
    # Whole seconds: they rise over a resume, and need no count that somebody keeps.
    return new_message("system", made, step=int(made), values=values)


def unsaid(
    messages: Iterable[Message], records: Iterable[TrialRecord], about: About = NOTHING
) -> Iterator[Message]:
    """What the ledger knows and `messages` do not say: how trials ended, as a killed driver had no
    time to say it. They are made when the last was of the trial: that was its last sign of life."""
    states: dict[str, str] = {}
    made: dict[str, float] = {}
    for each in messages:
        if (trial := each.get("trial")) is not None:
            made[trial] = each["made"]
            states[trial] = each["state"] if each["kind"] == "ended" else states.get(trial, "")
            if each["kind"] == "started":
                states[trial] = "running"
    for record in records:
        if record.state != "running" and states.get(record.name) != record.state:
            yield started_message(record, made.get(record.name), about)
            if record.state == "interrupted":
                yield interrupted_message(record, made.get(record.name))
            else:
                yield ended_message(record, made.get(record.name))
