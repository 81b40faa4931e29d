"""The sweeps of a folder at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from noisetune.errors import UserError
from noisetune.records import TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.spec.objective import Objective
from noisetune.sweep.study.lease import driver_of
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.recorded import RecordedSweep, recorded_sweep

RunState = Literal["running", "finished", "stopped", "unreadable"]


@dataclass(frozen=True)
class Overview:
    """Where a sweep stands.

    `ended` of its trials have; `size` is how many it is to have, None where no driver has said so.
    `best` gives each goal of the objective with its best value and the condition that has it.
    """

    name: str
    state: RunState
    ended: int = 0
    size: int | None = None
    best: tuple[tuple[str, float, str], ...] = ()


def overviews(home: Home) -> list[Overview]:
    """All sweeps that were begun here, by their names."""
    return [overview(home, name) for name in home.names()]


def overview(home: Home, name: str) -> Overview:
    """Where one of them stands."""
    try:
        sweep, ledger = recorded_sweep(home, name)
    except UserError:
        return Overview(name, "unreadable")
    return stand(home, sweep, ledger)


def stand(home: Home, sweep: RecordedSweep, ledger: Ledger) -> Overview:
    """Where a sweep stands whose ledger was read."""
    name, records = ledger.sweep, ledger.records(sweep.cells)
    ended, size = sum(record.state != "running" for record in records), ledger.size
    state: RunState = "stopped"
    if driver_of(home, name) is not None:
        state = "running"
    elif size is not None and ended >= size:
        state = "finished"
    return Overview(name, state, ended, size, _best(sweep.config.objective, records))


def _best(
    objective: Objective, records: Sequence[TrialRecord]
) -> tuple[tuple[str, float, str], ...]:
    complete = [each for each in records if each.kind == "search" and each.objectives]
    found = []
    for place, goal in enumerate(objective.goals if complete else ()):
        choose = max if goal.maximize else min
        values = [each.objectives[place] for each in complete]
        best = choose(values)
        found.append((goal.metric, best, complete[values.index(best)].condition))
    return tuple(found)
