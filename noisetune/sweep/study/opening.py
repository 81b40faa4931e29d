"""The storage of a sweep's ledger, be it a file or a database: for a look, or for its driver."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from optuna.storages import BaseStorage

from noisetune.errors import UserError
from noisetune.store import Lease
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.samplers import CmaEs
from noisetune.sweep.study.lease import own_journal
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.sweep.study.ledger_database import OPTION, Place, own_database, read_database, shown

LONGEST_NAME = 400
"""Letters of a condition's name: Optuna's tables have 512 for a study's, the sweep's is in it."""


def look(home: Home, name: str) -> Ledger | None:
    """The ledger of a sweep, for reading; None where none was begun.

    UserError where `--ledger` names a database that does not have it, or one that has another
    folder's sweep of this name.
    """
    url, file = _database(home, name), home.ledger_file(name)
    if url is None:
        ledger = Ledger(journal(file), name) if file.exists() else None
        return ledger if ledger is not None and ledger.begun else None
    storage = read_database(url)
    ledger = None if storage is None else Ledger(storage, name)
    if ledger is None or not ledger.begun:
        return None
    _check_own(home, ledger)
    return ledger


def beside(home: Home, name: str) -> Home:
    """The same folder, for a look at another sweep in it: `--ledger` may not be for that."""
    place = Place.read(home.ledger_note(name))
    same = place is not None and home.ledger is not None and shown(home.ledger) == place.url
    return home if same else replace(home, ledger=None)


def drive(home: Home, config: SweepConfig, conditions: Iterable[str], lease: Lease) -> Ledger:
    """The ledger of a sweep, which may be empty yet, for the driver that holds `lease`."""
    name = config.name
    url = _database(home, name)
    if url is None:
        return Ledger(own_journal(home.ledger_file(name), lease), name, _neighbours(home))
    _check_storable(config, conditions)
    storage, note = own_database(url, lease), home.ledger_note(name)
    ledger = Ledger(storage, name, _neighbours(home))
    if ledger.begun:
        _check_own(home, ledger)
    elif not note.exists():
        # Before the sweep begins: whoever finds it in the database knows whose it is.
        Place.new(url).write(note)
    return ledger


def begin(home: Home, ledger: Ledger, definition: dict[str, Any]) -> None:
    """Begin a sweep in a ledger that `drive` opened; UserError where another one was quicker."""
    place = Place.read(home.ledger_note(ledger.sweep))
    identity = place.identity if place else None
    Ledger.create(ledger.storage, ledger.sweep, definition, identity)
    if place is not None:
        _check_own(home, ledger)


def _database(home: Home, name: str) -> str | None:
    """The URL of the database that has a sweep's ledger, or is to have it; None: it is a file."""
    place = Place.read(home.ledger_note(name))
    if home.ledger is None:
        return place.url if place else None
    if place is None and home.ledger_file(name).exists():
        raise UserError(
            f"{OPTION}: the ledger of sweep {name!r} is the file {home.ledger_file(name)}; leave "
            f"{OPTION} out"
        )
    if place is not None and place.url != shown(home.ledger):
        raise UserError(
            f"{OPTION}: the ledger of sweep {name!r} is at {place.url}; leave {OPTION} out, or "
            "give that"
        )
    return home.ledger


def _check_own(home: Home, ledger: Ledger) -> None:
    place = Place.read(home.ledger_note(ledger.sweep))
    if place is None or place.identity != ledger.identity:
        raise UserError(
            f"{OPTION}: the sweep {ledger.sweep!r} in that database was begun from another mlruns "
            "folder; go on with it there (--mlruns), or give this one another name (--name)"
        )


def _neighbours(home: Home) -> Callable[[str], BaseStorage]:
    def storage(name: str) -> BaseStorage:
        ledger = look(beside(home, name), name)
        if ledger is None:
            raise UserError(f"warm_start: no earlier sweep {name!r}")
        return ledger.storage

    return storage


def _check_storable(config: SweepConfig, conditions: Iterable[str]) -> None:
    """UserError for what may be in a file of our own, and not in a database."""
    if config.sampler_kind.sampler is CmaEs:
        raise UserError(
            f"{OPTION}: sampler cmaes keeps pickled objects in the ledger, and nothing is "
            f"unpickled from a database that others may write to; leave {OPTION} out, or choose "
            "another sampler"
        )
    for name in conditions:
        if len(name) > LONGEST_NAME:
            raise UserError(
                f"{OPTION}: the condition {name[:50]!r}... has {len(name)} letters, and a database "
                f"takes {LONGEST_NAME}; give its bundles shorter names"
            )
