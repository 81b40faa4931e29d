"""`status`, `best --json` and `reproduce` over a ledger that is written by hand."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger, journal

CHOICES = ("last", "noisy_best", "oracle")
METHODS = ["none", "simclr"]
SWEEP: dict[str, Any] = {
    "name": "mine",
    "search_space": "space",
    "trial": {"protocol": "paper", "data": {"name": "cifar10"}},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Sweeps of a fixed recipe on three seeds; `small` is of digits, `traded` has two goals."""
    home = Home(tmp_path_factory.mktemp("mlruns"))
    write(home, SWEEP, ["maximize"])
    shared = {"protocol": "paper", "pretrain_seed": "shared"}
    write(home, SWEEP | {"name": "shared", "trial": shared}, ["maximize"])
    write(home, SWEEP | {"name": "small", "trial": {"protocol": "paper"}}, ["maximize"])
    goals = {"metric": "val/accuracy", "also": [{"metric": "cost/passes"}]}
    write(home, SWEEP | {"name": "traded", "objective": goals}, ["maximize", "minimize"])
    return home


def write(home: Home, raw: dict[str, Any], directions: list[Any]) -> None:
    space = {"conditions": {"noise.rate": [0.6], "pretrain.method": METHODS}}
    sweep = Sweep.prepare(parse_sweep(raw, "x"), SearchSpace.model_validate(space))
    home.sweep(sweep.config.name).mkdir(parents=True)
    storage = journal(home.ledger_file(sweep.config.name))
    ledger = Ledger.create(storage, sweep.config.name, sweep.definition())
    for condition, accuracy in zip(sweep.conditions, (0.595, 0.775), strict=True):
        study = ledger.study(condition.name, "replicate", directions, None)
        for seed in (1, 2, 3):
            metrics = {f"test/accuracy_at_{choice}": accuracy + seed / 500 for choice in CHOICES}
            config = condition.trial({}, seed).to_json()
            attributes = {"config": config, "metrics": metrics | {"detect/f1": 0.8 + seed / 100}}
            values = [0.5, 10.0][: len(directions)]
            study.add_trial(optuna.trial.create_trial(values=values, user_attrs=attributes))


@pytest.fixture
def said(noisetune: Callable[..., Any], home: Home) -> Callable[..., str]:
    def said(*words: object) -> str:
        answer = noisetune(*words, "--mlruns", home.root)
        assert (answer.code, answer.err) == (0, "")
        return answer.out

    return said


def test_status_has_the_tables_that_are_asked_for(said: Callable[..., str]) -> None:
    plain = said("status", "mine")
    assert plain.count("difference in clean test accuracy") == 1
    assert "noisy-best epoch" in plain
    assert "label errors" not in plain
    assert "0.795..0.845" in said("status", "mine", "--detection")
    assert "no trial of this sweep has figures of telemetry" in said(
        "status", "mine", "--telemetry"
    )


def test_status_says_what_each_rule_loses(said: Callable[..., str]) -> None:
    """These trials are of an earlier version: nothing is known of Label Wave."""
    text = said("status", "mine", "--selection")
    assert "rules of choosing the epoch" in text
    assert "behind: points of accuracy below the oracle" in text
    first, _ = json.loads(said("status", "mine", "--json"))["conditions"]
    assert first["selection"]["last"]["behind"] == {"mean": 0, "low": 0, "high": 0, "n": 3}
    assert first["selection"]["label_wave"]["behind"]["mean"] is None
    assert first["replicates"]["label_wave"]["values"] == {}
    assert first["detectors"]["confident_learning"]["f1"]["n"] == 3


@pytest.mark.parametrize(
    ("epoch", "count"), [("last", 1), ("noisy_best", 1), ("oracle", 1), ("all", 3)]
)
def test_each_epoch_asked_for_has_its_comparisons(
    said: Callable[..., str], epoch: str, count: int
) -> None:
    out = said("status", "mine", "--epoch", epoch)
    assert out.count("difference in clean test accuracy") == count
    looks = count - (epoch in ("noisy_best", "all"))
    assert out.count("a look without a verdict") == looks
    assert out.count("no verdict under n = 5") == count - looks


def test_what_shares_an_encoder_is_marked_wherever_it_is_shown(said: Callable[..., str]) -> None:
    """With `pretrain_seed: shared` replicates share one; from scratch there is none."""
    for words in (
        ("status", "shared"),
        ("status", "shared", "--detection"),
        ("status", "shared", "--markdown"),
        ("best", "shared"),
    ):
        out = said(*words)
        assert "† conditional on one encoder" in out
    winners = json.loads(said("best", "shared", "--json"))["winners"]
    assert [each["conditional_on_one_encoder"] for each in winners] == [False, True]


def test_status_as_markdown_is_tables_alone(said: Callable[..., str]) -> None:
    out = said("status", "mine", "--markdown", "--detection")
    lines = [line for line in out.splitlines() if line.startswith("|")]
    assert sum(line.startswith("| ---") for line in lines) == 3
    assert {line.count("|") for line in lines} <= {10, 7, 5}
    assert not any(character in out for character in "─━│")


def test_best_has_the_intervals_of_detection(said: Callable[..., str]) -> None:
    winners = json.loads(said("best", "small", "--json"))["winners"]
    (found,) = (each["detection"]["detect/f1"] for each in winners[:1])
    assert (found["mean"], found["n"]) == (pytest.approx(0.82), 3)
    assert found["low"] < found["mean"] < found["high"]


def test_best_says_what_its_noisy_labels_tell_apart(said: Callable[..., str]) -> None:
    """Three replicates of .5 on 360 test labels, which choose under the paper's protocol; at rate
    .6 of ten classes the slope is a third."""
    (group,) = json.loads(said("best", "small", "--json"))["groups"]
    error = 0.5 / math.sqrt(3 * 360) * 3
    assert group["resolution"] == pytest.approx(error)
    assert f" {100 * error:.1f} " in said("best", "small")


def test_reproduce_says_where_the_papers_figures_lie(
    said: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "cifar10.csv"
    found = json.loads(said("reproduce", "cifar10", "mine", "--json", "--csv", file))
    assert (found["table"], found["sweep"], found["paper"]["seeds"]) == ("cifar10", "mine", 5)
    verdicts = [each["verdict"] for each in found["figures"] if each["figure"] == "accuracy"]
    assert verdicts.count("inside") == 1
    assert verdicts.count("consistent") == 1
    assert verdicts.count("not run") == len(verdicts) - 2
    with file.open() as lines:
        assert [line["verdict"] for line in csv.DictReader(lines)] == [
            each["verdict"] for each in found["figures"]
        ]
    assert "| none 0.6 | 59.50 | 59.9 ±0.5 | 3 | +0.4 | inside |" in said(
        "reproduce", "cifar10", "mine", "--markdown"
    )
    assert "data.name cifar10 (paper: cifar100)" in " ".join(
        said("reproduce", "cifar100", "mine").split()
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("reproduce", "table2", "mine"), "no published table 'table2'; there are: cifar10, "),
        (("reproduce", "cifar10", "yours"), "no sweep 'yours' in "),
        (("reproduce", "cifar10", "traded"), "sweep 'traded' trades several goals off"),
        (("status", "traded", "--detection"), "--detection: sweep 'traded' trades several goals"),
        (("reproduce", "cifar10", "mine", "--csv", "no/such/x.csv"), "--csv no/such/x.csv: "),
    ],
)
def test_what_is_not_there_is_said(
    noisetune: Callable[..., Any], home: Home, words: tuple[str, ...], message: str
) -> None:
    answer = noisetune(*words, "--mlruns", home.root)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {message}")
