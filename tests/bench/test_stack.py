"""`noisetune bench stack` on a few images: what is asked, of whom, and how answers are judged."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from noisetune.bench import question as asking
from noisetune.bench import stack
from noisetune.bench.question import LR, Answer, Question, Trained, figures_of, regret
from noisetune.bench.rounds import Until
from noisetune.bench.stack import measure_stack, rows_in

EASY, HARD = (0.3, "none"), (0.6, "none")
FEW = Question(trials=2, epochs=4, replicates=1)


def trained(
    cell: asking.Cell, test: list[float], chosen: bool = False, kind: Any = "search"
) -> Trained:
    """A trial whose noisy validation rises from epoch to epoch."""
    return Trained(cell, kind, 1e-3, [0.1 * step for step in range(len(test))], test, chosen)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials on sixty images."""
    fixed = Question._fixed
    few = {
        "data": {"name": "digits", "train_samples": 60, "test_samples": 30},
        "model": {"width": 4},
    }
    monkeypatch.setattr(Question, "_fixed", lambda self: fixed(self) | few)


@pytest.mark.parametrize("epochs", [1, 10])
def test_both_engines_train_the_same_trials(epochs: int) -> None:
    question = Question(epochs=epochs)
    sweep = question.sweep()
    assert len(sweep.conditions) == len(question.cells) == 6
    for condition, cell in zip(sweep.conditions, question.cells, strict=True):
        ours = condition.trial({LR: 2e-3}, 3)
        assert ours.to_json() == question.trial(cell, 2e-3, 3).to_json()
        assert not ours.runtime.depends_on_trial


def test_the_clean_accuracy_is_that_of_the_epoch_which_noisy_labels_choose() -> None:
    assert Trained(EASY, "search", 1e-3, [0.2, 0.5, 0.5, 0.4], [0.9, 0.6, 0.7, 0.8]).clean == 0.6


def test_regret_is_to_the_best_that_any_answer_searched_in_the_same_cell() -> None:
    stock = Answer([trained(EASY, [0.8], True), trained(HARD, [0.5], True)], 0, {})
    ours = Answer(
        [
            trained(EASY, [0.7], True),
            trained(EASY, [0.9]),
            trained(HARD, [0.4]),
            trained(HARD, [0.5], True),
            trained(HARD, [1.0], kind="replicate"),
        ],
        0,
        {},
    )
    answers = [stock, ours]
    assert regret(stock, answers) == pytest.approx(100 * (0.1 + 0.0) / 2)
    assert regret(ours, answers) == pytest.approx(100 * (0.2 + 0.0) / 2)


def test_what_an_engine_did_is_counted() -> None:
    trials = [trained(EASY, [0.5, 0.8], True), trained(EASY, [0.9], kind="replicate")]
    answer = Answer(trials, 12, {"runs": 3})
    assert figures_of(answer, [answer]) == {
        "trials": 2,
        "pre-training epochs": 12,
        "fine-tuning epochs": 3,
        "regret of the chosen (points)": 0.0,
        "clean accuracy of replicates (%)": 90.0,
        "MLflow rows: runs": 3,
    }


def test_rows_are_those_of_mlflows_tables(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        for count, table in enumerate(stack.TABLES):
            database.execute(f"CREATE TABLE {table} (value)")
            database.executemany(f"INSERT INTO {table} VALUES (?)", [(0,)] * count)
        database.commit()
    assert rows_in(tmp_path / "mlflow.db") == {"runs": 0, "params": 1, "metrics": 2}


@pytest.mark.usefixtures("small")
def test_a_step_of_the_stock_trial_is_an_epoch_of_fine_tuning() -> None:
    from noisetune.bench.stock import PRETRAINED, StockTrial

    rate, method = FEW.cells[1]
    setting = {asking.RATE: rate, asking.METHOD: method, LR: 1e-3, "epochs": 4, "replicate": 0}
    trial = StockTrial(config=setting)
    first, last = trial.train(), trial.train()
    assert (first[PRETRAINED], first["done"], last["done"]) == (4, False, True)
    assert last["test/accuracy_at_noisy_best"] in (first["test/accuracy"], last["test/accuracy"])
    assert trial.reset_config({"again": setting | {asking.METHOD: "none"}})
    assert trial.train()[PRETRAINED] == 0
    trial.stop()


def test_the_command_asks_what_its_options_say(
    noisetune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    arm = {"trials": 36, "clean accuracy of replicates (%)": None}
    figures = {"stock": arm, "noisetune": arm | {"trials": 18}}
    monkeypatch.setattr(stack, "measure_stack", lambda *given: asked.append(given) or figures)
    words = ["--trials", "2", "--epochs", "6", "--replicates", "1", "--seed", "5", "--rounds", "7"]
    said = noisetune("bench", "stack", *words, "--json")
    assert json.loads(said.out) == figures
    shown = " ".join(noisetune("bench", "stack").out.split())
    assert "trials 36 18 2" in shown
    assert "replicates (%) - - -" in shown
    assert asked == [
        (Question(2, 6, 1, 5), Until(0.05, 7, 3600.0, 5)),
        (Question(4, 10, 2, 0), Until(0.05, 1, 3600.0, 0)),
    ]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ray_at_hand")
def test_both_answer_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """All images here: Ray's workers do not know that a test would have fewer."""
    monkeypatch.setattr(asking, "RATES", (0.3,))
    monkeypatch.setattr(asking, "METHODS", ("none", "simclr"))
    figures = measure_stack(FEW, Until(rounds=1))
    stock, ours = figures[stack.STOCK], figures[stack.OURS]
    assert stock.keys() == ours.keys()
    assert stock["trials"] == ours["trials"] == 2 * (2 + 1)
    assert (stock["pre-training epochs"], ours["pre-training epochs"]) == (4 * 3, 4 * 2)
    assert min(stock["MLflow rows: metrics"], ours["MLflow rows: metrics"]) > 0
    assert min(each["regret of the chosen (points)"] for each in (stock, ours)) >= 0
    assert figures["ratios"].keys() == {"stock to noisetune"}
    json.dumps(figures, allow_nan=False)
