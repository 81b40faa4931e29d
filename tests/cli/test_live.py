"""What a sweep shows while it runs, on a terminal and without one."""

import io
import time
from dataclasses import replace
from typing import Any

import pytest
from optuna.storages import InMemoryStorage
from rich.console import Console

from noisetune.cli import live as live_module
from noisetune.cli.drawing import Drawing, calm_line, draws
from noisetune.cli.live import LiveTable
from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.watch.progress import Progress
from noisetune.sweep.watch.snapshot import Slot, Snapshot

CONDITIONS = ["rate=0.2", "rate=0.6"]


def trial(number: int = 0, state: Any = "running", **more: Any) -> TrialRecord:
    condition = more.pop("condition", "rate=0.2")
    kind = more.pop("kind", "search")
    return TrialRecord(
        name=f"{condition} {kind} {number}",
        condition=condition,
        factors={},
        kind=kind,
        number=number,
        state=state,
        parameters={},
        config={"replicate": 0},
        **more,
    )


def table(terminal: bool = False, metric: str = "val/accuracy", verbose: bool = False) -> LiveTable:
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=100)
    goal = {"metric": metric, "allow_uninformative": True}
    config = parse_sweep({"name": "mine", "search_space": "-", "objective": goal}, "the test")
    ledger = Ledger.create(InMemoryStorage(), "mine", {})
    ledger.size = 9
    return LiveTable(console, Progress(CONDITIONS, config, ledger), verbose)


def written(live: LiveTable) -> str:
    assert isinstance(live.console.file, io.StringIO)
    return live.console.file.getvalue()


def shown(now: Snapshot, width: int = 100) -> str:
    """The live table as plain text."""
    console = Console(file=io.StringIO(), width=width)
    console.print(Drawing(now))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


ENDS = [
    trial(0, "complete", objective=0.5),
    trial(1, "complete", objective=0.75),
    trial(2, "pruned", reason="pruned by median"),
    trial(0, "failed", condition="rate=0.6", reason="train/loss is nan"),
    trial(0, "complete", kind="replicate", objective=0.99),
]
LINES = [
    "rate=0.2 search 0: complete val/accuracy 0.5000",
    "rate=0.2 search 1: complete val/accuracy 0.7500",
    "rate=0.2 search 2: pruned (pruned by median)",
    "rate=0.6 search 0: failed (train/loss is nan)",
    "rate=0.2 replicate 0: complete val/accuracy 0.9900",
]


def end_all(live: LiveTable) -> None:
    for each in ENDS:
        live.started(replace(each, state="running"))
        live.point(each, MetricPoint("finetune", 1, {"val/accuracy": 0.25}))
        live.ended(each)


def test_without_a_terminal_each_end_is_one_line() -> None:
    live = table()
    with live:
        end_all(live)
    assert written(live).splitlines() == LINES


@pytest.fixture
def quick_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "CALM_SECONDS", 0.01)


def test_without_a_terminal_a_line_a_minute_says_where_it_stands(quick_minutes: None) -> None:
    live = table()
    with live:
        live.started(trial(0))
        while not written(live):
            time.sleep(0.01)
    assert written(live).splitlines()[0] == "0 of 9 trials ended, 1 running"


@pytest.mark.parametrize(("metric", "best"), [("val/accuracy", 0.75), ("val/loss", 0.5)])
def test_the_best_is_of_search_trials_and_low_for_a_loss(metric: str, best: float) -> None:
    live = table(metric=metric)
    end_all(live)
    now = live.progress.snapshot()
    assert now.best == {"rate=0.2": best}
    assert f"{best:.4f}" in shown(now)


def test_in_a_terminal_the_table_is_drawn_in_place() -> None:
    live = table(terminal=True)
    with live:
        end_all(live)
        assert live._live.is_started
    assert not live._live.is_started
    assert "rate=0.6" in written(live)
    assert not written(live).startswith(LINES[0])


def test_a_verbose_one_says_ends_beside_the_table() -> None:
    live = table(terminal=True, verbose=True)
    with live:
        end_all(live)
    assert all(line in written(live) for line in LINES)


def test_a_terminal_that_cannot_go_back_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert draws(Console(force_terminal=True))
    monkeypatch.setenv("TERM", "dumb")
    assert not draws(Console(force_terminal=True))


NOW = Snapshot(
    metric="val/accuracy",
    ended=5,
    size=9,
    counts={"rate=0.2": {"complete": 2, "pruned": 1, "replicates": 1}, "rate=0.6": {"failed": 1}},
    best={"rate=0.2": 0.75},
    slots=[
        Slot("rate=0.6 trial 1", "finetune", 2, 10, 0.125, 90.0),
        Slot("rate=0.6 trial 2", "starting", 0, None, None, 1.0),
    ],
    last=LINES[-2:],
    per_hour=12.5,
    hours_left=(0.5, 2.75),
    gpu_hours=1.25,
    gpu_budget=12.0,
)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_all_of_it_is_shown(width: int) -> None:
    said = " ".join(shown(NOW, width).split())
    for words in (
        "5 of 9 trials ended, 2 running; 12.5 trials an hour; 30 min to 2.75 h left; "
        "1.25 of 12 GPU hours used",
        "rate=0.6 trial 1 finetune 2 of 10 0.125 2 min",
        "rate=0.6 trial 2 starting under a minute",
        f"ended last {LINES[-2]} {LINES[-1]}",
        "rate=0.2 2 1 1 0.7500",
    ):
        assert words in said


def test_what_is_not_known_is_left_out() -> None:
    now = Snapshot("val/accuracy", 0, 0, {}, {})
    assert calm_line(now) == "0 of 0 trials ended, 0 running"
    assert "running\n" not in shown(now).replace("0 running\n", "")
    assert "ended last" not in shown(now)
    assert calm_line(replace(now, hours_left=(0.0, 0.0))).endswith("; under a minute left")


@pytest.mark.parametrize(("height", "more"), [(100, 0), (30, 28), (24, 34), (4, 40)])
def test_a_low_terminal_has_the_conditions_where_something_runs(height: int, more: int) -> None:
    names = [f"rate={number / 100:.2f}" for number in range(40)]
    slots = [replace(slot, trial="rate=0.30 search 0") for slot in NOW.slots]
    now = replace(NOW, counts={name: {"complete": 1} for name in names}, best={}, slots=slots)
    file = io.StringIO()
    terminal = Console(
        file=file, force_terminal=True, color_system=None, width=80, height=height, record=True
    )
    terminal.print(Drawing(now))
    lines = terminal.export_text().rstrip().splitlines()
    assert len(lines) < max(height, 16)
    assert (lines[-1] == f"and {more} more conditions: `noisetune status` has all") == bool(more)
    listed = [line.split()[0] for line in lines if line.startswith("rate=") and line.endswith("1")]
    shown_first = ["rate=0.30", *(name for name in names if name != "rate=0.30")]
    assert listed == shown_first[: 40 - more]


def test_of_a_thousand_running_trials_those_are_shown_that_there_is_room_for() -> None:
    slots = [
        Slot(f"rate=0.6 trial {number}", "finetune", 1, 10, 0.5, 1.0) for number in range(1000)
    ]
    terminal = Console(
        file=io.StringIO(), force_terminal=True, color_system=None, width=80, height=24, record=True
    )
    terminal.print(Drawing(replace(NOW, slots=slots)))
    lines = terminal.export_text().rstrip().splitlines()
    assert len(lines) == 23
    assert sum(line.startswith("rate=0.6 trial ") for line in lines) == 11
    assert "and 989 more trials: `noisetune status --json` has all" in lines
    assert shown(replace(NOW, slots=slots)).count("rate=0.6 trial ") == 1000
