"""The question of `bench stack` as a sweep on a few images, without Ray."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from real_sweep import TRIAL, without_ray

from noisetune.bench import question as asking
from noisetune.bench import stack, stock
from noisetune.bench.question import Question
from noisetune.bench.rounds import Until
from noisetune.bench.stack import ask_noisetune, measure_stack, rows_in

FEW = Question(trials=2, epochs=4, replicates=1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty images, one rate, two methods."""
    fixed, few = Question._fixed, {name: TRIAL[name] for name in ("data", "model")}
    monkeypatch.setattr(Question, "_fixed", lambda self: fixed(self) | few)
    monkeypatch.setattr(asking, "RATES", (0.3,))
    monkeypatch.setattr(asking, "METHODS", ("none", "simclr"))


@pytest.mark.long
def test_noisetunes_answer_has_its_curves_winners_and_shared_epochs(tmp_path: Path) -> None:
    with without_ray():
        trials, pretraining = ask_noisetune(FEW, tmp_path / "mlruns")
    kinds = [each.kind for each in trials]
    assert (kinds.count("search"), kinds.count("replicate")) == (2 * 2, 2)
    assert pretraining == 4 * 2  # of one seed for the search, of another for the replicate
    assert {each.cell for each in trials if each.chosen} == set(FEW.cells)
    assert all(1 <= len(each.val) == len(each.test) <= FEW.tuning for each in trials)
    assert rows_in(tmp_path / "mlruns" / "mlflow.db")["runs"] == 1 + len(trials)


@pytest.mark.long
def test_an_engine_beside_itself_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of stock Ray Tune, which needs Ray, stands noisetune."""
    monkeypatch.setattr(asking, "METHODS", ("simclr",))
    monkeypatch.setattr(stock, "ask_stock", ask_noisetune)
    monkeypatch.setattr(stack, "ray_session", lambda *_: nullcontext())
    with without_ray():
        figures = measure_stack(Question(trials=2, epochs=2, replicates=0), Until(rounds=1))
    first, second = figures[stack.STOCK], figures[stack.OURS]
    seconds = {"wall seconds", "cpu seconds"}
    assert seconds < first.keys() == second.keys()
    assert {name: first[name] for name in first.keys() - seconds} == {
        name: second[name] for name in second.keys() - seconds
    }
    assert (first["trials"], first["regret of the chosen (points)"]) == (2, 0.0)
    assert first["clean accuracy of replicates (%)"] is None
    assert figures.keys() >= {"ratios", "warning", "slots", "cells", "seed"}
    json.dumps(figures, allow_nan=False)
