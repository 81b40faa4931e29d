"""Smoke runs: a sweep in small, with all its conditions, made of the definition alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_sweep import prepare, run_here

from noisetune.data import cifar10
from noisetune.data._made_up import made_up
from noisetune.data._published import Part
from noisetune.errors import UserError
from noisetune.noise.asymmetric import CIFAR10
from noisetune.sweep.home import Home
from noisetune.sweep.preflight import preflight
from noisetune.sweep.smoke_run import in_small
from noisetune.sweep.spec.config import NO_RESULTS, read_sweep
from noisetune.sweep.spec.factors import check_field
from noisetune.sweep.spec.smoke import SMALL, Substitutes, corner_trials, smoke
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.storage import open_sweep

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
MADE_UP = {"name": "cifar10", "root": "nowhere", "download": False}
HUMAN = {"noise.labels": ["aggre", "worse"], "pretrain.method": ["none", "simclr"]}


def small(sweep: Sweep, substitutes: Substitutes | None = None) -> Sweep:
    trials = corner_trials(sweep.conditions)
    return Sweep.from_definition(smoke(sweep.definition(), trials, substitutes or Substitutes()))


def prepared(conditions: dict[str, Any], trial: dict[str, Any], **sweep: Any) -> Sweep:
    parameters = sweep.pop("parameters", {})
    space = {"conditions": conditions, "parameters": parameters}
    return prepare(space, "mine", trial=trial, **sweep)


def test_every_condition_stays_and_every_trial_is_small() -> None:
    arms = {"short": {"finetune.lr": 0.1}, "long": {"finetune.epochs": 210}}
    conditions = {"noise.rate": [0.2, 0.6], "arm": arms}
    sweep = prepared(conditions, {"detect": {"folds": 5}}, replicates=7, trials_per_condition=40)
    shrunk = small(sweep)
    assert [each.name for each in shrunk.conditions] == [each.name for each in sweep.conditions]
    assert (shrunk.config.name, shrunk.config.smoke) == ("mine-smoke", True)
    assert (shrunk.config.replicates, shrunk.config.trials_per_condition) == (2, 2)
    short, long = (each.trial({}) for each in shrunk.conditions[:2])
    assert (short.finetune.epochs, long.finetune.epochs) == (2, 3)
    assert (short.data.train_samples, short.data.test_samples) == (256, 128)
    assert (short.model.width, short.pretrain.epochs, short.detect.folds) == (4, 1, 2)
    assert (short.finetune.lr, short.noise.rate) == (0.1, 0.2)


@pytest.mark.parametrize("count", [9, {"until": {"difference": 2}}], ids=["number", "growing"])
def test_its_searches_are_few_and_short(count: Any) -> None:
    searches = {"of": "search", "trials": 6, "count": count}
    lr = {"finetune.lr": {"choices": [0.001, 0.01]}}
    shrunk = small(prepared({}, {}, parameters=lr, replicates=searches)).config.searches
    assert shrunk is not None
    assert (shrunk.trials, shrunk.count) == (2, 2)


def test_its_replicates_do_not_grow_and_its_baseline_is_made_small_too() -> None:
    sweep = prepared(
        {"pretrain.epochs": [5, 100]},
        {},
        replicates={"until": {"difference": 2}},
        comparisons={"against": {"pretrain.epochs": 100}, "equal_within": 1},
    )
    shrunk = small(sweep).config
    assert shrunk.replicates == 2
    assert (shrunk.comparisons.against, shrunk.comparisons.equal_within) == (
        {"pretrain.epochs": 2},
        1,
    )


def test_values_of_a_field_stay_apart_and_in_order() -> None:
    sweep = prepared({"pretrain.epochs": [100, 5, 25], "data.train_samples": [None, 1000, 99]}, {})
    shrunk = small(sweep)
    assert shrunk.space.conditions == {
        "pretrain.epochs": (3, 1, 2),
        "data.train_samples": (258, 257, 99),
    }


@settings(max_examples=20)
@given(values=st.lists(st.integers(1, 500), min_size=1, max_size=6, unique=True))
def test_no_value_becomes_larger_and_none_meets_another(values: list[int]) -> None:
    (shrunk,) = small(prepared({"finetune.epochs": values}, {})).space.conditions.values()
    assert len(set(shrunk)) == len(values)
    assert all(now <= before for now, before in zip(shrunk, values, strict=True))
    assert np.argsort(shrunk).tolist() == np.argsort(values).tolist()


def test_what_is_searched_and_what_is_tried_first_is_small_too() -> None:
    parameters = {
        "pretrain.epochs": {"low": 10, "high": 100, "step": 10},
        "finetune.epochs": {"choices": [10, 20, 40]},
        "finetune.lr": {"low": 1e-4, "high": 1e-2, "when": {"finetune.epochs": [10, 20]}},
    }
    first = {"pretrain.epochs": 50, "finetune.epochs": 20, "finetune.lr": 0.001}
    sweep = prepared(
        {},
        {},
        parameters=parameters,
        sampler={"name": "tpe"},
        enqueue=[first],
        budget={"trials": 9},
    )
    shrunk = small(sweep)
    epochs, tuning, lr = shrunk.space.parameters.values()
    assert (epochs.low, epochs.high, epochs.step) == (1, 3, None)
    assert tuning.choices == (2, 3, 4)
    assert (lr.low, lr.when) == (1e-4, {"finetune.epochs": (2, 3)})
    assert shrunk.config.enqueue == ({**first, "pretrain.epochs": 2, "finetune.epochs": 3},)
    assert shrunk.config.budget.trials is None


def test_what_a_probe_and_telemetry_need_is_kept() -> None:
    trial = {
        "finetune": {"train": "probe_then_tune", "epochs": 20},
        "telemetry": {"epochs": [5, 50]},
        "runtime": {"device": "cuda"},
    }
    probes = {"finetune.probe_epochs": {"choices": [1, 3, 5]}}
    shrunk = small(prepared({}, trial, parameters=probes))
    assert shrunk.space.parameters["finetune.probe_epochs"].choices == (1, 2, 3)
    done = corner_trials(shrunk.conditions)[0]
    assert done.telemetry is not None
    assert (done.finetune.epochs, done.telemetry.epochs, done.runtime.device) == (4, (1,), "cpu")


def test_given_weights_keep_their_width_on_fewer_images() -> None:
    conditions = {"pretrain.method": ["none", "imagenet"]}
    sweep = prepared(conditions, {"pretrain": {"stem": "random"}})
    shrunk = small(sweep, Substitutes(everywhere={"pretrain.path": "weights.pth"}))
    scratch, given = corner_trials(shrunk.conditions)
    assert (scratch.model.width, scratch.data.train_samples) == (64, 32)
    assert (given.pretrain.path, given.pretrain.stem) == (Path("weights.pth"), "random")


def test_a_small_sweep_is_small_already() -> None:
    once = small(prepared({"noise.rate": [0.2, 0.6]}, {"finetune": {"epochs": 9}}))
    again = small(once)
    assert again.space == once.space
    assert again.config.trial == once.config.trial


def test_a_field_that_no_trial_has_is_not_set() -> None:
    sweep = prepared({"noise.rate": [0.4]}, {"pretrain": {"method": "none"}})
    assert "epochs" not in small(sweep).config.trial["pretrain"]


def test_every_small_field_names_a_field_of_a_trial() -> None:
    for path in SMALL:
        if not path.startswith("telemetry."):
            check_field(path)


@pytest.mark.parametrize("count", [None, 12])
def test_made_up_images_are_the_same_at_every_call_and_carry_the_classes(count: int | None) -> None:
    config = cifar10.Config(made_up=True, train_samples=count or 40, test_samples=10)
    data, again = config.load(), config.load()
    assert data.fingerprint == again.fingerprint
    assert data.x_train.shape == (count or 40, 3, 32, 32)
    assert data.y_train.tolist()[:11] == [*range(10), 0]
    assert set(CIFAR10) < set(data.class_names)
    assert not np.array_equal(data.x_train[:10], data.x_test)


def test_what_is_not_there_is_made_up_and_said(tmp_path: Path) -> None:
    trial = {"data": MADE_UP, "noise": {"model": "human", "path": "./nowhere/human.pt"}}
    sweep, said = prepared(HUMAN, trial), list[str]()
    with pytest.raises(UserError, match=r"data\.root"):
        preflight(sweep)
    shrunk = in_small(sweep, tmp_path, said.append)
    preflight(shrunk)
    assert said == [
        NO_RESULTS,
        "images are made up, since nothing is downloaded for this: cifar10 is not in nowhere",
        "human labels are made up, in place of nowhere/human.pt",
    ]
    assert [each.name for each in shrunk.conditions] == [each.name for each in sweep.conditions]


def test_what_is_there_is_used(tmp_path: Path, imagenet_file: Path) -> None:
    pretrain = {"method": "imagenet", "path": str(imagenet_file)}
    said = list[str]()
    shrunk = in_small(
        prepared({"noise.rate": [0.4]}, {"data": {"name": "digits"}, "pretrain": pretrain}),
        tmp_path,
        said.append,
    )
    assert said == [NO_RESULTS]
    assert corner_trials(shrunk.conditions)[0].pretrain.path == imagenet_file
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_there_are_not_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(*made_up("there", "train", 40, 10, (32, 32, 3)), cifar10.CLASSES)
    monkeypatch.setattr(cifar10.CifarConfig, "read_part", lambda self, name: part)
    said = list[str]()
    shrunk = in_small(prepared({"noise.rate": [0.4]}, {"data": MADE_UP}), tmp_path, said.append)
    assert said == [NO_RESULTS]
    assert corner_trials(shrunk.conditions)[0].data == cifar10.Config(
        root="nowhere", download=False, train_samples=256, test_samples=128
    )


@pytest.mark.long
def test_a_smoke_run_has_human_labels_and_all_conditions(tmp_path: Path) -> None:
    trial = {"data": MADE_UP, "noise": {"model": "human", "path": "nowhere/human.pt"}}
    shrunk = in_small(prepared(HUMAN, trial, replicates=1), tmp_path, lambda line: None)
    scheduler = run_here(Home(tmp_path), shrunk)
    assert scheduler.finished
    ended = open_sweep(Home(tmp_path), "mine-smoke")[1].records(shrunk.cells)
    assert [each.state for each in ended] == ["complete"] * 4
    assert {each.metrics["test/accuracy_at_last"] is not None for each in ended} == {True}


Say = Callable[..., Any]


def smoke_run(noisetune: Say, file: Path, folder: Path) -> Any:
    return noisetune("sweep", file, "--smoke", "--mlruns", folder / "mlruns")


def check_run(said: Any, file: Path, folder: Path) -> None:
    """It ended, says what it is, and has a trial of every condition."""
    assert (said.code, said.err) == (0, "")
    assert NO_RESULTS in said.out
    name = f"{read_sweep(file).name}-smoke"
    sweep, ledger = open_sweep(Home(folder / "mlruns"), name)
    records = ledger.records(sweep.cells)
    assert {each.state for each in records} <= {"complete", "pruned"}
    complete = {each.condition for each in records if each.state == "complete"}
    assert complete == {each.name for each in sweep.conditions}


@pytest.mark.long
def test_a_sweep_of_this_repository_runs_whole_in_small(
    noisetune: Say, ray_at_hand: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = ROOT / "sweeps" / "quickstart.yaml"
    check_run(smoke_run(noisetune, file, tmp_path), file, tmp_path)
    assert noisetune("status", "quickstart-smoke", "--mlruns", tmp_path / "mlruns").out.startswith(
        NO_RESULTS
    )


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_sweep_of_this_repository_runs_whole_in_small(
    noisetune: Say, ray_at_hand: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    check_run(smoke_run(noisetune, file, tmp_path), file, tmp_path)


def test_a_plan_in_small_writes_nothing(
    noisetune: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = noisetune("plan", ROOT / "sweeps" / "cifar_n.yaml", "--smoke", "--no-measure")
    assert (said.code, said.err) == (0, "")
    assert "cifar-n-smoke: 18 conditions, 0 search trials and 36 replicates" in said.out
    assert list(tmp_path.iterdir()) == []
