"""A sweep as reports are drawn from it: out of its folder and its ledger, and nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noisetune.analysis.summaries import summarise
from noisetune.predictions import Predictions
from noisetune.records import GATE, TrialRecord
from noisetune.report.view import Curve, SweepView
from noisetune.selection import group_of
from noisetune.sweep.home import Home
from noisetune.sweep.overview import RunState, stand
from noisetune.sweep.provenance import drives_of
from noisetune.sweep.spec.config import NO_RESULTS
from noisetune.sweep.study.comparing import question_of
from noisetune.sweep.study.recorded import RecordedSweep, recorded_sweep, standing_records
from noisetune.sweep.winners import shared_choice
from noisetune.tracking.outbox import read_messages

UNFINISHED = "The sweep has not ended: figures and verdicts are those of now."


def view_of(home: Home, name: str, state: RunState | None = None) -> SweepView:
    """A sweep that was begun, as it stands; `state` is what its driver knows of it.

    UserError where there is none of this name, with those there are, and for damaged files.
    """
    sweep, ledger = recorded_sweep(home, name)
    records = standing_records(home, ledger, sweep.cells)
    standing, goals = stand(home, sweep, ledger), sweep.config.objective.goals
    state = state or standing.state
    curves, told = _told(home, name)
    # A result is told before the ledger has its end, and a trial that was run again since may have
    # another.
    complete = [each.name for each in records if each.state == "complete"]
    seconds = {trial: told[trial] for trial in complete if trial in told}
    return SweepView(
        name=name,
        state=state,
        records=tuple(records),
        question=question_of(ledger, sweep.config, sweep.cells),
        size=ledger.size,
        goals=tuple(goal.metric for goal in goals),
        maximize=tuple(goal.maximize for goal in goals),
        oracle=any(goal.oracle for goal in goals),
        notices=_notices(sweep, state),
        definition=ledger.definition,
        curves=curves,
        predictions=_predictions(home, name, records, goals[0].maximize),
        searched=ledger.searched(dict.fromkeys(each.condition for each in records)),
        seconds=seconds,
        spent=ledger.spent,
        drives=(drives := tuple(drives_of(home, name))),
        resolutions=_resolutions(drives, sweep.cells),
        commands=_commands(name),
        both=shared_choice(sweep, records),
    )


def _notices(sweep: RecordedSweep, state: str) -> tuple[str, ...]:
    smoke = (f"{NO_RESULTS[:1].upper()}{NO_RESULTS[1:]}.",) if sweep.config.smoke else ()
    return (*smoke, *((UNFINISHED,) if state != "finished" else ()))


def _commands(name: str) -> tuple[str, ...]:
    return (
        f"noisetune best {name} --export best/{name}",
        f"noisetune status {name} --detection --overfitting --telemetry",
        f"noisetune report {name}",
    )


def _told(
    home: Home, name: str
) -> tuple[dict[str, dict[str, Curve]], dict[str, Mapping[str, float]]]:
    """The curves of each trial, and the seconds of its stages, as its tracker was told them."""
    outbox = home.outbox(name)
    points: dict[str, dict[str, dict[int, float]]] = {}
    seconds: dict[str, Mapping[str, float]] = {}
    for message in read_messages(outbox) if outbox.is_file() else ():
        if message["kind"] == "point":
            mine = points.setdefault(message["trial"], {})
            for metric, value in message["values"].items():
                # A trial that is taken up again tells its epochs again.
                if value is not None:
                    key = f"gate/{metric}" if message.get("stage") == GATE else metric
                    mine.setdefault(key, {}).setdefault(message["step"], value)
        elif message.get("result"):
            seconds[message["trial"]] = message["result"]["seconds"]
    curves = {
        trial: {metric: tuple(sorted(curve.items())) for metric, curve in mine.items()}
        for trial, mine in points.items()
    }
    return curves, seconds


def _resolutions(
    drives: Sequence[Mapping[str, Any]], cells: Iterable[tuple[str, Mapping[str, Any]]]
) -> dict[str, float]:
    """By condition, as the last drive had it; none where noisy labels tell nothing."""
    found = drives[-1].get("resolutions", []) if drives else []
    return {
        name: each["replicates"]
        for name, factors in cells
        for each in found
        if each["group"] == group_of(factors) and each["replicates"] is not None
    }


def _predictions(
    home: Home, name: str, records: Iterable[TrialRecord], maximize: bool
) -> dict[str, Predictions]:
    """Those of the runs that stand for a condition."""
    runs = [
        run.name
        for each in summarise(list(records), maximize)
        for run in (each.runs or filter(None, [each.winner]))
    ]
    return home.predictions(name).of(runs)
