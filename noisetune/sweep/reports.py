"""Reports of sweeps: made, written into their folder, made anew while a sweep runs."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noisetune.analysis.families import ALPHA, Family
from noisetune.analysis.question import Question
from noisetune.errors import UserError
from noisetune.files import refused
from noisetune.records import TrialRecord, flatten
from noisetune.report.view import SweepView
from noisetune.report.writing import check_place, report_of, write_report
from noisetune.sweep.home import Home
from noisetune.sweep.overview import RunState
from noisetune.sweep.study.lease import driver_of
from noisetune.sweep.study.opening import beside
from noisetune.sweep.viewed import view_of
from noisetune.texts import counted, factors_text
from noisetune.tracking.tracker import Tracker

LOOK_SECONDS = 2.0
REST = 4.0
"""A report that took a second to make is made anew after so many, at the earliest."""
SHOWN_DIFFERENCES = 5


@dataclass(frozen=True)
class Made:
    """A report that was written: its page, what it is of, and the seconds that it took."""

    page: Path
    view: SweepView
    seconds: float


def make_report(
    home: Home,
    name: str,
    out: Path | None = None,
    refresh: bool = False,
    state: RunState | None = None,
) -> Made:
    """Write the report of a sweep as it stands into its folder, or `out`.

    UserError where there is no such sweep, and for a folder that holds something else.
    """
    folder, begun = out or home.report(name), time.perf_counter()
    if out is not None:
        check_place(out, "--out")
    view = view_of(home, name, state)
    page = _written(view, folder, refresh)
    return Made(page, view, time.perf_counter() - begun)


def publish_report(home: Home, name: str, tracker: Tracker, say: Callable[[str], None]) -> None:
    """Write the report of a sweep that has just ended, say where, and give MLflow all of it.

    It never fails: a sweep that came to its end has its results, with a page of them or without.
    """
    try:
        made = make_report(home, name, state="finished")
        _tell(tracker, made.page.parent)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        say(f"the report could not be made ({why}); try `noisetune report {name}`")
        return
    say(f"report: {made.page}")


def _tell(tracker: Tracker, folder: Path) -> None:
    """Give MLflow all files of a report, which lies in the sweep's folder."""
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        place = f"{folder.name}/{file.relative_to(folder).as_posix()}"
        tracker.file(place, place)


def watched_reports(
    home: Home, name: str, out: Path | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Made]:
    """The report, made anew whenever the sweep has changed, until nobody drives it any more."""
    while True:
        before = _mark(home, name)
        made = make_report(home, name, out, refresh=True)
        yield made
        if made.view.state != "running":
            return
        sleep(REST * made.seconds)
        while _mark(home, name) == before:
            sleep(LOOK_SECONDS)


def _mark(home: Home, name: str) -> tuple[Any, ...]:
    """Changes whenever there may be something new: in the ledger, in the outbox, in who drives."""
    files = (home.ledger_file(name), home.outbox(name))
    sizes = [file.stat().st_size if file.exists() else 0 for file in files]
    return (*sizes, driver_of(home, name) is not None)


def _written(view: SweepView, folder: Path, refresh: bool = False, compared: bool = False) -> Path:
    report = report_of(view, refresh, compared)
    with refused("report", folder, "be written", "make room, or give another folder with --out"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        return write_report(report, folder)


def compare_sweeps(home: Home, names: Sequence[str]) -> SweepView:
    """Sweeps side by side: the conditions that all have, paired where replicate seeds are equal.

    In each condition every sweep is compared with those that are named after it. A ledger that
    `home` names is read for those sweeps that have theirs in it. UserError where
    they share no condition, and for sweeps with several goals, of which nothing wins.
    """
    if len(set(names)) < 2:
        raise UserError("compare: give the names of two sweeps or more, each once")
    views = [view_of(beside(home, name), name) for name in dict.fromkeys(names)]
    _check_comparable(views)
    shared = _shared(views)
    cells = [{"sweep": view.name} | factors for factors in shared for view in views]
    pairs = tuple(
        (factors_text({"sweep": a.name} | factors), factors_text({"sweep": b.name} | factors))
        for factors in shared
        for a, b in itertools.combinations(views, 2)
    )
    settings = {factors_text(each): "" for each in cells}
    adaptive = any(view.question.adaptive for view in views)
    family = Family(pairs, ALPHA, settings)
    question = Question((family,), views[0].question.epoch, views[0].question.margin, (), adaptive)
    parts = [_part(view, shared) for view in views]
    order = [factors_text(each) for each in cells]
    records = [record for part in parts for record in part.records]
    return SweepView(
        name=" and ".join(view.name for view in views),
        state="running" if any(view.state == "running" for view in views) else "finished",
        records=tuple(sorted(records, key=lambda record: order.index(record.condition))),
        question=question,
        goals=views[0].goals,
        maximize=views[0].maximize,
        oracle=any(view.oracle for view in views),
        notices=tuple(_notices(views, shared)),
        definition={view.name: view.definition for view in views},
        curves={trial: curve for part in parts for trial, curve in part.curves.items()},
        predictions={trial: kept for part in parts for trial, kept in part.predictions.items()},
        drives=tuple(drive for view in views for drive in view.drives),
        commands=(f"noisetune compare {' '.join(view.name for view in views)}",),
    )


def write_comparison(view: SweepView, folder: Path) -> Path:
    """The page of a comparison, its figures and its tables."""
    check_place(folder, "--out")
    return _written(view, folder, compared=True)


def _check_comparable(views: Sequence[SweepView]) -> None:
    for view in views:
        if view.several:
            raise UserError(
                f"compare: sweep {view.name!r} trades several goals off, so nothing wins in it; "
                "take it out"
            )
    if len({(view.goals, view.maximize) for view in views}) > 1:
        goals = ", ".join(f"{view.name}: {view.metric}" for view in views)
        raise UserError(
            f"compare: winners were chosen by different objectives ({goals}); give sweeps with the "
            "same one"
        )


def _shared(views: Sequence[SweepView]) -> list[dict[str, Any]]:
    """The factors of the conditions that all have, in the order of the first."""
    found = [{repr(sorted(each.factors.items())): each.factors for each in view.summaries}
             for view in views]  # fmt: skip
    shared = [factors for key, factors in found[0].items() if all(key in each for each in found)]
    if not shared:
        conditions = "; ".join(
            f"{view.name}: {', '.join(each.name for each in view.summaries[:3]) or 'none'}"
            for view in views
        )
        raise UserError(
            f"compare: no condition is in all of them ({conditions}); give sweeps with equal "
            "factors under `conditions`"
        )
    return shared


def _part(view: SweepView, shared: Sequence[dict[str, Any]]) -> SweepView:
    """What a sweep has of the shared conditions, under names that no other sweep has."""
    records = [each for each in view.records if each.factors in shared]
    names = {each.name: f"{view.name}: {each.name}" for each in records}
    return replace(
        view,
        records=tuple(_of_sweep(each, view.name, names[each.name]) for each in records),
        curves={names[trial]: curve for trial, curve in view.curves.items() if trial in names},
        predictions={
            names[trial]: kept for trial, kept in view.predictions.items() if trial in names
        },
    )


def _of_sweep(record: TrialRecord, sweep: str, name: str) -> TrialRecord:
    factors = {"sweep": sweep} | record.factors
    return replace(record, name=name, factors=factors, condition=factors_text(factors))


def _notices(views: Sequence[SweepView], shared: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What a reader has to know: what else differs, what is left out, what has not ended."""
    known = {repr(sorted(factors.items())) for factors in shared}
    for view in views:
        left = [e for e in view.summaries if repr(sorted(e.factors.items())) not in known]
        if left:
            yield f"{view.name}: {counted(len(left), 'condition')} that others lack left out."
        yield from (f"{view.name}: {notice}" for notice in view.notices)
    differing = _differences(views)
    if differing:
        more = len(differing) - SHOWN_DIFFERENCES
        rest = f"; {more} more" if more > 0 else ""
        yield f"They differ in {'; '.join(differing[:SHOWN_DIFFERENCES])}{rest}."
    yield (
        "First minus second, in the order in which the sweeps were named; verdicts hold for a "
        "comparison that was meant before its figures were seen."
    )


def _differences(views: Sequence[SweepView]) -> list[str]:
    """The settings beside the name in which the sweeps differ, with their values."""
    flat = [flatten(view.definition.get("sweep", {})) for view in views]
    fields = dict.fromkeys(field for each in flat for field in each)
    return [
        f"{field} ({', '.join(str(each.get(field)) for each in flat)})"
        for field in fields
        if field not in ("name", "search_space") and len({repr(e.get(field)) for e in flat}) > 1
    ]
