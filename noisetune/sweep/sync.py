"""A sweep told whole to any tracking store: one that lost it, or one that never heard of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from noisetune.records import TrialRecord, flatten
from noisetune.sweep.about import names_alone
from noisetune.sweep.home import Home, Site
from noisetune.sweep.overview import RunState, stand
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.recorded import RecordedSweep, recorded_sweep, standing_records
from noisetune.sweep.summary import summary
from noisetune.tracking.messages import Message, sweep_message, unsaid
from noisetune.tracking.outbox import read_messages
from noisetune.tracking.tracker import check_tracking, tell_whole


@dataclass(frozen=True)
class Synced:
    """How many runs a tracking store has of a sweep, and what it did not take of them."""

    runs: int
    refused: list[str]


def sync_sweep(site: Site, name: str) -> Synced:
    """Tell the tracking store of a `site` all that ledger and outbox know of a sweep.

    Nothing but the store is written. What it has already is told again, which changes nothing. A
    sweep may be running, but not be told by its driver to the same store: UserError.
    """
    home, uri = site.home, site.tracking_uri or site.home.tracking_uri
    sweep, ledger = recorded_sweep(home, name)
    check_tracking(uri, name, site.artifacts)
    state = stand(home, sweep, ledger).state
    records = standing_records(home, ledger, sweep.cells)
    story = _story(home, sweep, ledger, records, state)
    driven, folder = state == "running", home.sweep(name)
    refused = tell_whole(story, uri, name, site.artifacts, ledger.identity, driven, folder)
    return Synced(1 + len(records), refused)


def _story(
    home: Home, sweep: RecordedSweep, ledger: Ledger, records: list[TrialRecord], state: RunState
) -> Iterator[Message]:
    """What the outbox says, and what a killed driver had no time to say."""
    said, made = "", None
    for each in _messages(home, ledger.sweep):
        made = each["made"]
        said = each["state"] if each["kind"] == "sweep" else said
    if not said:
        yield sweep_message("running", flatten(ledger.definition), made)
    yield from _messages(home, ledger.sweep)
    names = names_alone(sweep.config, sweep.cells)
    yield from unsaid(_messages(home, ledger.sweep), records, names)
    if said in ("", "running") and state != "running":
        ended = "complete" if state == "finished" else "interrupted"
        yield sweep_message(ended, {}, made, note=summary(sweep, ledger, ended))


def _messages(home: Home, name: str) -> Iterator[Message]:
    outbox = home.outbox(name)
    yield from read_messages(outbox) if outbox.is_file() else ()
