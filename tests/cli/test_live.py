import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from noisetune.cli.live import LiveTable
from noisetune.records import MetricPoint, TrialRecord

CONDITIONS = ["rate=0.2", "rate=0.6"]
TOTALS = {"rate=0.2": 4, "rate=0.6": 5}


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


def table(terminal: bool = False, metric: str = "val/accuracy") -> LiveTable:
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=100)
    return LiveTable(console, CONDITIONS, TOTALS, metric, maximize=not metric.endswith("loss"))


def written(live: LiveTable) -> str:
    assert isinstance(live.console.file, io.StringIO)
    return live.console.file.getvalue()


def drawn(live: LiveTable) -> str:
    """The live table as it stands, as plain text."""
    console = Console(file=io.StringIO(), width=100)
    console.print(live._render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


ENDS = [
    trial(0, "complete", objective=0.5),
    trial(1, "complete", objective=0.75),
    trial(2, "pruned", reason="pruned by median"),
    trial(0, "failed", condition="rate=0.6", reason="train/loss is nan"),
    trial(0, "complete", kind="replicate", objective=0.99),
]


def test_without_a_terminal_each_end_is_one_line() -> None:
    live = table()
    with live:
        for each in ENDS:
            live.started(replace(each, state="running"))
            live.point(each, MetricPoint("finetune", 1, {"val/accuracy": 0.25}))
            live.ended(each, None)
    assert written(live).splitlines() == [
        "rate=0.2 search 0: complete val/accuracy 0.5000",
        "rate=0.2 search 1: complete val/accuracy 0.7500",
        "rate=0.2 search 2: pruned (pruned by median)",
        "rate=0.6 search 0: failed (train/loss is nan)",
        "rate=0.2 replicate 0: complete val/accuracy 0.9900",
    ]


def test_ends_are_counted_by_condition_and_replicates_apart() -> None:
    live = table()
    for each in ENDS:
        live.ended(each, None)
    assert live.counts["rate=0.2"] == {"complete": 2, "pruned": 1, "replicates": 1}
    assert live.counts["rate=0.6"] == {"failed": 1}
    assert "5 of 9" in drawn(live)


def test_a_resumed_sweep_starts_from_what_ended() -> None:
    live = table()
    live.count([*ENDS, trial(3, "running")])
    assert live.counts["rate=0.2"].total() == 4
    assert live.best == {"rate=0.2": 0.75}
    assert written(live) == ""


@pytest.mark.parametrize(("metric", "best"), [("val/accuracy", 0.75), ("val/loss", 0.5)])
def test_the_best_is_of_search_trials_and_low_for_a_loss(metric: str, best: float) -> None:
    live = table(metric=metric)
    for each in ENDS:
        live.ended(each, None)
    assert live.best == {"rate=0.2": best}
    assert f"{best:.4f}" in drawn(live)


def test_what_runs_is_shown_with_its_last_point() -> None:
    live = table()
    live.started(trial(0))
    assert "starting" in drawn(live)
    live.point(trial(0), MetricPoint("pretrain", 3, {"pretrain/loss": 4.0}))
    assert "pretrain 3" in drawn(live)
    live.point(trial(0), MetricPoint("finetune", 2, {"val/accuracy": 0.125}))
    assert "finetune 2 val/accuracy 0.125" in drawn(live)
    live.point(trial(0), MetricPoint("finetune", 3, {"val/accuracy": None}))
    assert "finetune 3" in drawn(live)
    live.ended(trial(0, "complete", objective=0.5), None)
    assert live.running == {}


def test_in_a_terminal_the_table_is_drawn_in_place() -> None:
    live = table(terminal=True)
    with live:
        live.started(trial(0))
        live.ended(trial(0, "complete", objective=0.5), None)
        assert live._live.is_started
    assert not live._live.is_started
    assert "rate=0.6" in written(live)
    assert "rate=0.2 search 0: complete" not in written(live)


def test_an_empty_sweep_can_be_drawn() -> None:
    live = LiveTable(Console(file=io.StringIO()), [], {}, "val/accuracy")
    assert "0 of 0" in drawn(live)


def test_the_look_at_an_encoder_is_shown_where_a_gate_is_set() -> None:
    live = table()
    live.started(trial(0))
    live.point(trial(0), MetricPoint("gate", 3, {"pretrain/rankme": 4.0}))
    assert "gate" not in drawn(live)
    live.gated = True
    live.point(trial(0), MetricPoint("gate", 3, {"pretrain/rankme": 4.0}))
    assert "gate 3" in drawn(live)
