"""The ledgers in a home folder: looked up, read, and opened for the driver of a sweep."""

from collections.abc import Sequence

from noisetune.errors import UserError
from noisetune.store import Lease
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.overrides import override_all
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger, name_taken
from noisetune.sweep.study.opening import begin, beside, drive
from noisetune.sweep.study.recorded import begun_ledger, read_ledger, refuse_lost
from noisetune.sweep.study.resume_rules import check_extension


def open_sweep(home: Home, name: str, settings: Sequence[str] = ()) -> tuple[Sweep, Ledger]:
    """A sweep that was started before, to be read; with `settings` (field=value) put over it.

    UserError, with those there are, where there is none of this name.
    """
    ledger = begun_ledger(home, name)
    definition = ledger.definition
    raw = override_all(definition["sweep"], settings)
    # What was begun was valid then: a mistake is one of the new settings.
    source = "--set" if settings else f"sweep {name!r}"
    return Sweep.from_definition({**definition, "sweep": raw}, source), ledger


def refuse_taken(home: Home, name: str) -> None:
    """UserError where a sweep of this name was begun."""
    if read_ledger(home, name) is not None:
        raise name_taken(name)


def drive_ledger(home: Home, sweep: Sweep, lease: Lease) -> Ledger:
    """The sweep's ledger for the driver that holds `lease`: a new one, or the one that is there.

    UserError where that was begun with other trials in mind.
    """
    definition = sweep.definition()
    ledger = drive(home, sweep.config, [each.name for each in sweep.conditions], lease)
    if not ledger.begun:
        refuse_lost(home, sweep.config.name)
        begin(home, ledger, definition)
    if ledger.definition != definition:
        check_extension(ledger.definition, definition)
        ledger.redefine(definition)
    return ledger


def check_warm_start(home: Home, config: SweepConfig) -> None:
    """UserError for an earlier sweep that is not there, or that sought something else."""
    for name in config.warm_start:
        ledger = None if name == config.name else read_ledger(beside(home, name), name)
        if ledger is None:
            names = ", ".join(each for each in home.names() if each != config.name) or "none yet"
            raise UserError(f"warm_start: no earlier sweep {name!r}; there are: {names}")
        wanted = config.objective.model_dump(mode="json")
        if (sought := ledger.definition["sweep"]["objective"]) != wanted:
            raise UserError(
                f"warm_start: {name!r} sought {sought['metric']} ({sought['direction']}): its "
                "values tell nothing of this objective; take it out, or give the same objective"
            )
