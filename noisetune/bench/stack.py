"""The same question by stock Ray Tune and by noisetune, over the same training functions."""

import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from noisetune.bench.other_work import MachineWatch
from noisetune.bench.question import (
    LR,
    METHOD,
    RATE,
    TEST,
    VAL,
    Answer,
    Question,
    Trained,
    figures_of,
)
from noisetune.bench.rounds import Round, Spent, Until, Versus, ratio_figures, take_rounds
from noisetune.bench.sweep_watch import SweepWatch
from noisetune.bench.whole import check_whole
from noisetune.records import FINETUNE, PRETRAIN, MetricPoint, TrialRecord
from noisetune.sweep.execution.launch import ray_session, slots_of
from noisetune.sweep.home import Home, Site
from noisetune.sweep.run import drive
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.winners import summaries_of

STOCK, OURS = "stock", "noisetune"
RATIOS = {"stock to noisetune": Versus(over=(STOCK,), under=OURS)}
TABLES = "runs", "params", "metrics"
Ask = Callable[[Question, Path], tuple[list[Trained], int]]


class Curves(SweepWatch):
    """Watches a sweep: the curves of its trials, and the epochs of pre-training that were really
    computed."""

    def __init__(self) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self.points: dict[str, dict[int, MetricPoint]] = {}
        self.pretrained: set[tuple[float, int]] = set()

    def started(self, trial: TrialRecord) -> None:
        self.trials[trial.name] = trial

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        if point.stage == PRETRAIN:
            # A replayed point has its first timestamp: it is no epoch of its own.
            self.pretrained.add((point.made, point.step))
        elif point.stage == FINETUNE:
            self.points.setdefault(trial.name, {})[point.step] = point

    def trained(self, winners: set[str]) -> list[Trained]:
        return [
            Trained(
                cell=(trial.factors[RATE], trial.factors[METHOD]),
                kind=trial.kind,
                lr=trial.parameters[LR],
                val=[point.values[VAL] or 0.0 for point in self.points[name].values()],
                test=[point.values[TEST] or 0.0 for point in self.points[name].values()],
                chosen=name in winners,
            )
            for name, trial in self.trials.items()
        ]


def ask_noisetune(question: Question, root: Path) -> tuple[list[Trained], int]:
    """All trials, and the epochs of pre-training that they took; the folder is that of a sweep, in
    the Ray session at hand."""
    curves, home = Curves(), Home(root)
    site = Site(home, str(home.stages), tracking_uri=home.tracking_uri)
    outcome = drive(question.sweep(), site, curves)
    check_whole(outcome)
    summaries = summaries_of(outcome.sweep, outcome.ledger.records(outcome.sweep.cells))
    winners = {each.winner.name for each in summaries if each.winner is not None}
    return curves.trained(winners), len(curves.pretrained)


def measure_stack(question: Question, until: Until) -> dict[str, Any]:
    """Ask both in turns, in one Ray session; `ratios` are stock's seconds over noisetune's.

    What is said of each is of the first round. Clean accuracy judges, and chooses nothing.
    """
    from noisetune.bench.stock import ask_stock

    ways: dict[str, Ask] = {STOCK: ask_stock, OURS: ask_noisetune}
    answers: dict[str, list[Answer]] = {name: [] for name in ways}

    def part(name: str) -> Spent:
        with tempfile.TemporaryDirectory(prefix="noisetune-bench-") as folder:
            root, found = Path(folder) / "mlruns", list[tuple[list[Trained], int]]()
            spent = machine.spent_by(lambda: found.append(ways[name](question, root)))
            answers[name].append(Answer(*found[0], rows_in(root / "mlflow.db")))
        return spent

    with ray_session(Resources()):
        machine, slots = MachineWatch(), slots_of(question.sweep().config)
        rounds = take_rounds({name: partial(part, name) for name in ways}, RATIOS, until)
        other_work = machine.so_far()
    first = {name: given[0] for name, given in answers.items()}
    return {
        **asdict(question),
        "cells": len(question.cells),
        "slots": slots,
        **{name: _figures(first, name, rounds) for name in ways},
        **ratio_figures(rounds, RATIOS, until),
        **other_work.figures(),
    }


def _figures(
    answers: Mapping[str, Answer], name: str, rounds: Sequence[Round]
) -> dict[str, float | None]:
    found = figures_of(answers[name], list(answers.values()))
    seconds = {
        f"{kind} seconds": statistics.median(getattr(each[name], kind) for each in rounds)
        for kind in ("wall", "cpu")
    }
    return found | seconds


def rows_in(database: Path) -> dict[str, int]:
    """How many rows MLflow's tables have."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as opened:
        counts = (opened.execute(f"SELECT count(*) FROM {table}") for table in TABLES)
        return {table: found.fetchone()[0] for table, found in zip(TABLES, counts, strict=True)}
