"""A sweep as its ledger has it, to be looked at.

What is recorded was valid when it was begun. No trial is built of it here, so no plug-in is
imported: that takes ten times as long as all that a table needs.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from noisetune.errors import UserError
from noisetune.records import TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import NAME_RULE, SweepConfig, parse_sweep
from noisetune.sweep.study.lease import driver_of
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.ledger_database import Place
from noisetune.sweep.study.opening import look
from noisetune.texts import factors_text, file_stems


@dataclass(frozen=True)
class RecordedSweep:
    """A sweep's configuration, and name and factors of each of its conditions, in their order."""

    config: SweepConfig
    cells: list[tuple[str, dict[str, Any]]]

    @property
    def file_names(self) -> dict[str, str]:
        """A name for the files of each condition."""
        return file_stems([name for name, _ in self.cells])


def recorded_sweep(home: Home, name: str) -> tuple[RecordedSweep, Ledger]:
    """A sweep that was begun, and its ledger, for reading; UserError where there is none."""
    ledger = begun_ledger(home, name)
    definition = ledger.definition
    config = parse_sweep(definition["sweep"], f"sweep {name!r}")
    return RecordedSweep(config, _cells(definition["space"]["conditions"])), ledger


def standing_records(
    home: Home, ledger: Ledger, cells: Iterable[tuple[str, dict[str, Any]]]
) -> list[TrialRecord]:
    """Every trial of these conditions (name, factors), as the ledger has it; one that runs is
    `interrupted` where nobody drives it."""
    records = ledger.records(cells)
    if driver_of(home, ledger.sweep) is not None:
        return records
    return [
        replace(each, state="interrupted") if each.state == "running" else each for each in records
    ]


def begun_ledger(home: Home, name: str) -> Ledger:
    """The ledger of a sweep, for reading; UserError, with those there are, where there is none."""
    ledger = read_ledger(home, name)
    if ledger is None:
        names = ", ".join(home.names()) or "none yet"
        raise UserError(f"no sweep {name!r} in {home.root / 'sweeps'}; there are: {names}")
    return ledger


def read_ledger(home: Home, name: str) -> Ledger | None:
    """The ledger of a sweep, for reading; None where no sweep of this name was begun."""
    if not NAME_RULE.match(name):
        return None
    ledger = look(home, name)
    if ledger is None:
        refuse_lost(home, name)
    return ledger


def refuse_lost(home: Home, name: str) -> None:
    """UserError where a sweep of this name was begun, and its ledger does not know it any more."""
    outbox = home.outbox(name)
    if outbox.exists() and outbox.stat().st_size:
        place = Place.read(home.ledger_note(name))
        ledger = place.url if place else home.ledger_file(name)
        raise UserError(
            f"{ledger}: holds no sweep, though {outbox} shows that one had begun; put a copy of it "
            f"in its place, or remove {home.sweep(name)} to begin anew"
        )


def _cells(conditions: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """As `SearchSpace.cells` crosses them: values of a field, or the names of bundles."""
    crossed = itertools.product(*conditions.values())
    factors = [dict(zip(conditions, values, strict=True)) for values in crossed]
    return [(factors_text(each), each) for each in factors]
