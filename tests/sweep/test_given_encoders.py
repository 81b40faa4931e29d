"""Sweeps in which some conditions are given their encoder."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from real_sweep import TRIAL, Seen, prepare, run_here

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.pipeline import run_trial
from noisetune.store import NullStore, Store
from noisetune.sweep.home import Home
from noisetune.sweep.plan import make_plan
from noisetune.sweep.preflight import preflight
from noisetune.sweep.resources.calibration import calibrate
from noisetune.sweep.spec.sweep import Sweep

METHODS = ["none", "simclr", "barlow_twins", "imagenet"]
HERE = {"CPU": 2.0, "GPU": 0.0}


def sweep_of(methods: list[str], pretrain: dict[str, Any], name: str = "x", **trial: Any) -> Sweep:
    space = {"conditions": {"pretrain.method": methods}}
    fixed = TRIAL | {"pretrain": pretrain} | trial
    return prepare(space, name, trial=fixed)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(ResNet18(width=4).build(1, (8, 8)).state_dict(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


@pytest.mark.long
def test_every_method_is_compared_under_one_fixed_part(tmp_path: Path, imagenet_file: Path) -> None:
    """`epochs` is for those that pre-train, `path` for the one that is given its weights."""
    few = {"name": "digits", "train_samples": 20, "test_samples": 12}
    small = {"epochs": 1, "batch_size": 16, "hidden": 8, "projection": 8}
    pretrain = small | {"path": str(imagenet_file)}
    one = {"finetune": {"epochs": 1}, "model": {"width": 64}, "data": few}
    sweep, home, seen = sweep_of(METHODS, pretrain, **one), Home(tmp_path), Seen()
    preflight(sweep)
    assert run_here(home, sweep, [seen], share=False).finished
    ends = {trial.factors["pretrain.method"]: trial for trial in seen.ends.values()}
    assert {method: trial.state for method, trial in ends.items()} == dict.fromkeys(
        METHODS, "complete"
    )
    assert ends["imagenet"].config["pretrain"]["path"] == str(imagenet_file)
    assert "epochs" not in ends["imagenet"].config["pretrain"]
    assert ends["simclr"].config["pretrain"]["epochs"] == 1
    stages = {point.stage for name, point in seen.points if "imagenet" in name}
    assert stages == {"finetune", "detect"}


def test_the_driver_counts_by_the_content_of_the_weights(tmp_path: Path, checkpoint: Path) -> None:
    """After the sweep its plan finds all of it stored, from a copy too, not from other weights."""
    sweep, home = sweep_of(["none", "checkpoint"], {"path": str(checkpoint)}), Home(tmp_path)
    assert run_here(home, sweep).finished
    copy = shutil.copy(checkpoint, tmp_path / "copy.pth")
    torch.save(ResNet18(width=4).build(1, (8, 8)).state_dict(), tmp_path / "other.pth")
    stored = {}
    for file in (checkpoint, copy, tmp_path / "other.pth"):
        planned = sweep_of(["none", "checkpoint"], {"path": str(file)})
        stages = make_plan(planned, HERE, Store.open(home.stages), measure=False).stages
        stored[Path(file).name] = [stages[stage].stored for stage in ("finetune", "detect")]
        assert stages["pretrain"].runs == 0
    assert stored == {"mine.pth": [2, 2], "copy.pth": [2, 2], "other.pth": [1, 1]}


def test_a_sweep_without_the_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    sweep = sweep_of(["none", "checkpoint"], {"path": str(tmp_path / "none.pth")})
    with pytest.raises(UserError, match=r"pretrain.path: .*none.pth does not exist"):
        preflight(sweep)


def test_every_file_that_may_be_sampled_is_looked_at(tmp_path: Path, checkpoint: Path) -> None:
    paths = [str(checkpoint), str(tmp_path / "none.pth")]
    space = {"parameters": {"pretrain.path": {"choices": paths}}}
    sweep = prepare(space, "x", trial=TRIAL | {"pretrain": {"method": "checkpoint"}})
    with pytest.raises(UserError, match=r"none.pth does not exist"):
        preflight(sweep)


def test_a_width_that_imagenet_has_not_is_refused_with_its_condition(imagenet_file: Path) -> None:
    with pytest.raises(UserError, match=r"pretrain.method=imagenet\): model.width: 4: "):
        sweep_of(METHODS, {"path": str(imagenet_file)})


def test_a_stage_is_looked_up_in_the_store_of_the_sweep(
    tmp_path: Path, tiny_trial: Callable[..., TrialConfig], drive: Callable[..., Any]
) -> None:
    store = Store.open(Home(tmp_path).stages)
    drive(run_trial(tiny_trial(), store))
    digest = next(each.digest for each in store.list() if each.stage == "pretrain")
    sweep = sweep_of(["none", "checkpoint"], {"stage": digest[:8]})
    preflight(sweep, store)
    assert run_here(Home(tmp_path), sweep).finished
    with pytest.raises(UserError, match=f"pretrain.stage: {digest[:8]}: .* names none"):
        preflight(sweep, NullStore())


@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_at_the_command_line_a_missing_file_ends_with_one_message(
    noisetune: Callable[..., Any], tmp_path: Path, command: str
) -> None:
    space = {"conditions": {"pretrain.method": ["none", "checkpoint"]}}
    fixed = {**TRIAL, "pretrain": {"path": str(tmp_path / "none.pth")}}
    sweep = {"name": "mine", "search_space": "space.yaml", "trial": fixed}
    for name, content in (("sweep.yaml", sweep), ("space.yaml", space)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    said = noisetune(command, tmp_path / "sweep.yaml", "--mlruns", tmp_path / "mlruns")
    assert said.code == 2
    assert "space.yaml: pretrain.path: " in said.err.replace("\n", " ")
    assert not (tmp_path / "mlruns").exists()


def test_ways_to_train_and_to_augment_are_conditions_too(tmp_path: Path) -> None:
    ways = ["all", "head", "probe_then_tune"]
    space = {"conditions": {"finetune.train": ways, "finetune.augment": [None, "ssl"]}}
    fixed = TRIAL | {"pretrain": {"method": "none"}}
    fixed["finetune"] = TRIAL["finetune"] | {"probe_epochs": 1}
    sweep, seen = prepare(space, "x", trial=fixed), Seen()
    assert run_here(Home(tmp_path), sweep, [seen]).finished
    assert {trial.state for trial in seen.ends.values()} == {"complete"}
    assert len({trial.metrics["test/loss_at_last"] for trial in seen.ends.values()}) == 6
    assert all("test/loss_escalation" in trial.metrics for trial in seen.ends.values())


@pytest.mark.parametrize(("train", "kinds"), [("head", 2), ("probe_then_tune", 1)])
def test_the_head_alone_is_timed_apart_and_a_probe_as_what_follows_it(
    tiny_trial: Callable[..., TrialConfig], train: str, kinds: int
) -> None:
    config = tiny_trial(finetune={"train": train, "probe_epochs": 1}).resolve()
    known: dict[str, Any] = {}
    assert calibrate("finetune", config, config.data.load(), known).seconds_per_epoch > 0
    calibrate(
        "finetune", tiny_trial(finetune={"train": "all"}).resolve(), config.data.load(), known
    )
    assert len(known) == kinds
