"""What must hold of every course: nothing lost, nothing doubled, one writer after the other."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import Any

from mlflow_server import StoredRun
from schedule import Course, Schedule, run_through

from noisetune.store import Store

Table = dict[str, Any]
HARMLESS = (
    "is being run by",
    "another process has taken this sweep over",
    "MLflow at",
    "lapsed, was released or was taken over",
)
"""What a user may be told when the world is against the sweep; all else is a fault of ours."""


def violations(course: Course) -> list[str]:
    """What does not hold, a line each."""
    if course.error is not None:
        return [course.error]
    broken = [*course.world.failures, *_ends(course), *_writers(course)]
    if broken:
        return broken
    usual = undisturbed(course.schedule.sweep)
    wrong = [*_differences("ledger", ledger_table(course), usual["ledger"]), *_store(course)]
    if not course.overtaken:
        # MLflow takes what a driver had sent before it was taken over, and cannot be told not to.
        told = _but_lost(course, mlflow_table(course), usual["MLflow"])
        wrong += [*_doubled(course), *_differences("MLflow", told, usual["MLflow"])]
    return wrong


@cache
def undisturbed(sweep: str) -> dict[str, Table]:
    """The tables of a sweep that nothing befell."""
    with run_through(Schedule(0, sweep)) as course:
        assert (course.error, course.world.failures) == (None, [])
        assert set(course.ends) == {"finished"}
        return {"ledger": ledger_table(course), "MLflow": mlflow_table(course)}


def ledger_table(course: Course) -> Table:
    """Each trial by its name, as the ledger has it."""
    return {record.name: asdict(record) for record in course.records}


def mlflow_table(course: Course) -> Table:
    """Each run by its trial, with all that does not depend on when it was written."""
    return {_trial(run): _facts(run) for run in course.server.runs.values()}


def _but_lost(course: Course, told: Table, usual: Table) -> Table:
    """What was told, with what nobody promised to keep: of an outbox, which is not synced, the end
    goes with the power of its host."""
    if any(host.cuts for host in course.world.hosts.values()):
        for name in told.keys() & usual.keys():
            told[name] |= {what: usual[name][what] for what in ("files", "rows")}
    return told


def _trial(run: StoredRun) -> str:
    return run.tags.get("noisetune.trial", "the sweep")


def _facts(run: StoredRun) -> Table:
    mine = ("noisetune.", "mlflow.runName")
    passing = ("noisetune.identity", "noisetune.told")
    tags = {name: value for name, value in run.tags.items() if name.startswith(mine)}
    return {
        "status": run.status,
        "tags": {name: value for name, value in tags.items() if name not in passing},
        "params": run.params,
        "rows": sorted(set(run.rows)),
        "files": sorted(run.files),
    }


def _ends(course: Course) -> Iterator[str]:
    if "finished" not in course.ends[-1:]:
        yield f"the sweep did not end: {course.ends}"
    for end in course.ends:
        known = end in ("finished", "killed") or end.startswith("stopped")
        if not known and not any(words in end for words in HARMLESS):
            yield f"a driver ended with {end}"


def _writers(course: Course) -> Iterator[str]:
    """Whoever was followed by another driver writes no more."""
    for what, names in course.writers.items():
        for name, count in Counter(names).items():
            if count > 1:
                yield f"{what}: {name} wrote after another driver had: {names}"


def _doubled(course: Course) -> Iterator[str]:
    runs = course.server.runs.values()
    for trial, count in Counter(map(_trial, runs)).items():
        if count > 1:
            yield f"MLflow: {count} runs of {trial}"
    for run in runs:
        for row, count in Counter((name, step) for name, step, _ in run.rows).items():
            if count > 1:
                yield f"MLflow: {count} rows of {row} in {_trial(run)}"


def _differences(what: str, table: Table, usual: Table) -> Iterator[str]:
    for name in usual.keys() | table.keys():
        if name not in table:
            yield f"{what}: {name} is lost"
        elif name not in usual:
            yield f"{what}: {name} is one too many"
        else:
            for field, value in usual[name].items():
                if table[name][field] != value:
                    yield f"{what}: {name}: {field} is {table[name][field]!r}, not {value!r}"


def _store(course: Course) -> Iterator[str]:
    """Whatever was published is whole."""
    for path, reason in Store.open(course.home.stages).verify().damaged.items():
        yield f"store: {path}: {reason}"
