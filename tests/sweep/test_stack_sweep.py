"""The question of `bench stack` as a sweep on a few images, without Ray."""

from pathlib import Path

import pytest
from real_sweep import TRIAL, without_ray

from noisetune.bench import question as asking
from noisetune.bench.question import Question
from noisetune.bench.stack import ask_noisetune, rows_in

FEW = Question(trials=2, epochs=4, replicates=1)


def test_noisetunes_answer_has_its_curves_winners_and_shared_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed, few = Question._fixed, {name: TRIAL[name] for name in ("data", "model")}
    monkeypatch.setattr(Question, "_fixed", lambda self: fixed(self) | few)
    monkeypatch.setattr(asking, "RATES", (0.3,))
    monkeypatch.setattr(asking, "METHODS", ("none", "simclr"))
    with without_ray():
        trials, pretraining = ask_noisetune(FEW, tmp_path / "mlruns")
    kinds = [each.kind for each in trials]
    assert (kinds.count("search"), kinds.count("replicate")) == (2 * 2, 2)
    assert pretraining == 4 * 2  # of one seed for the search, of another for the replicate
    assert {each.cell for each in trials if each.chosen} == set(FEW.cells)
    assert all(1 <= len(each.val) == len(each.test) <= FEW.tuning for each in trials)
    assert rows_in(tmp_path / "mlruns" / "mlflow.db")["runs"] == 1 + len(trials)
