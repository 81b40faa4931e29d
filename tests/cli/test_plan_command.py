"""`noisetune plan`, as a person types it and as a program reads it."""

import itertools
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from noisetune.store import Store
from noisetune.sweep.resources.calibration import Speed

TRIAL = {
    "data": {"train_samples": 60, "test_samples": 30},
    "model": {"width": 4},
    "pretrain": {"batch_size": 32, "hidden": 8, "projection": 8},
    "finetune": {"epochs": 2, "batch_size": 16},
    "runtime": {"threads": 1},
}
SWEEP: dict[str, Any] = {
    "name": "mine",
    "search_space": "space.yaml",
    "trial": TRIAL,
    "sampler": {"name": "grid"},
    "pruner": {"name": "none"},
    "replicates": 0,
}
SPACE = {
    "conditions": {"noise.rate": [0.2, 0.4]},
    "parameters": {"pretrain.epochs": {"choices": [1, 3]}},
}


@pytest.fixture
def plan(noisetune: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`noisetune plan` of two conditions with two lengths of pre-training each."""
    for name, content in (("sweep.yaml", SWEEP), ("space.yaml", SPACE)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    folder = tmp_path / "mlruns"
    return lambda *options: noisetune("plan", tmp_path / "sweep.yaml", "--mlruns", folder, *options)


def test_a_program_reads_it_as_json(plan: Callable[..., Any]) -> None:
    said = plan("--json", "--no-measure")
    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out)
    stages = told.pop("stages")
    resolution = told.pop("resolution")
    assert told.pop("slots") >= 1
    assert told.pop("disk_bytes") > 0
    assert told == {
        "sweep": "mine",
        "conditions": 2,
        "search_trials": 4,
        "replicates": 0,
        "fewest_replicates": 0,
        "trials_each": None,
        "comparisons": None,
        "exact": True,
        "hours": None,
        "gpu_hours": None,
        "longest_epoch": None,
        "unseen": [],
    }
    assert [(each["group"], each["labels"]) for each in resolution] == [
        ({"noise.rate": 0.2}, 12),
        ({"noise.rate": 0.4}, 12),
    ]
    assert 0 < resolution[0]["one_trial"] < resolution[1]["one_trial"]
    assert stages.keys() == {"pretrain", "finetune", "detect"}
    assert stages["pretrain"] == {
        "runs_unshared": 4,
        "runs": 1,
        "epochs_unshared": 8,
        "epochs": 3,
        "stored": 0,
    }


def test_a_person_reads_it_as_a_table(plan: Callable[..., Any]) -> None:
    said = plan("--no-measure")
    assert (said.code, said.err) == (0, "")
    assert "mine: 2 conditions, 4 search trials and 0 replicates" in said.out
    rows = {line.split()[0]: line.split()[1:] for line in said.out.splitlines() if line.strip()}
    assert rows["pretrain"] == ["4", "1", "0", "8", "3"]
    assert "MB in the store" in said.out
    assert rows["noise.rate=0.2"][:2] == ["12", "0.78"]
    assert max(map(len, said.out.splitlines()[1:])) <= 80  # the first one names the file


def test_it_measures_unless_it_is_told_not_to(plan: Callable[..., Any]) -> None:
    said = plan("--json")
    low, high = json.loads(said.out)["hours"]
    assert 0 < low < high
    assert "time: " in plan().out


def test_settings_are_put_over_the_file(plan: Callable[..., Any]) -> None:
    said = plan("--json", "--no-measure", "--set", "replicates=3", "--set", "pruner.name=median")
    told = json.loads(said.out)
    assert (told["replicates"], told["exact"]) == (6, False)


def test_it_starts_nothing_and_writes_nothing(plan: Callable[..., Any], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert plan("--no-measure").code == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_of_ones_own_images_nothing_is_kept(
    noisetune: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are decoded, as their sizes and contents are part of what is planned."""
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for part, name in itertools.product(("train", "test"), ("cat", "dog")):
        (tmp_path / part / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    trial = TRIAL | {"data": {"name": "folder", "root": str(tmp_path), "size": 12}}
    for name, content in (("sweep", SWEEP | {"trial": trial}), ("space", SPACE)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    before = sorted(tmp_path.rglob("*"))
    told = noisetune("plan", tmp_path / "sweep.yaml", "--json", "--no-measure")
    assert (told.code, told.err) == (0, "")
    assert json.loads(told.out)["search_trials"] == 4
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_in_the_store_is_not_planned_again(
    plan: Callable[..., Any], noisetune: Callable[..., Any], tmp_path: Path
) -> None:
    config = {"noise": {"rate": 0.2}, **TRIAL, "pretrain": {**TRIAL["pretrain"], "epochs": 3}}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(config))
    assert noisetune("run", tmp_path / "one.yaml", "--mlruns", tmp_path / "mlruns").code == 0
    assert len(list(Store.open(tmp_path / "mlruns" / "stages").list())) == 3
    stages = json.loads(plan("--json", "--no-measure").out)["stages"]
    assert {name: count["stored"] for name, count in stages.items()} == {
        "pretrain": 1,
        "finetune": 1,
        "detect": 1,
    }
    assert stages["finetune"]["runs"] == 3


def test_a_mistake_is_told_as_by_sweep(plan: Callable[..., Any], tmp_path: Path) -> None:
    said = plan("--set", "replicates=many")
    assert said.code == 2
    assert said.err.startswith(f"error: {tmp_path / 'sweep.yaml'}: replicates: 'many': ")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A fresh working folder without a network; ImageNet's weights are in no cache."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("something was to be fetched")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize(
    ("measure", "width", "given"),
    [("--measure", 4, []), ("--no-measure", 64, ["imagenet"])],
)
def test_a_plan_needs_no_image_of_a_data_set_that_is_known(
    noisetune: Callable[..., Any], offline: Path, measure: str, width: int, given: list[str]
) -> None:
    """Nor weights, which there are of the published width alone."""
    trial = TRIAL | {"data": {"name": "cifar10"}, "model": {"width": width}}
    space = {"conditions": {"pretrain.method": ["none", "simclr", *given]}}
    for name, content in (("sweep", SWEEP | {"trial": trial}), ("space", space)):
        (offline / f"{name}.yaml").write_text(yaml.safe_dump(content))
    words = ("plan", offline / "sweep.yaml", "--json", measure)
    before = sorted(offline.rglob("*"))
    said = noisetune(*words)
    assert (said.code, said.err) == (0, "")
    assert sorted(offline.rglob("*")) == before
    told = json.loads(said.out)
    assert (told["search_trials"], told["exact"]) == (2 + len(given), False)
    assert told["unseen"] == ["cifar10", *(f"the weights of {method}" for method in given)]
    assert {stage: count["stored"] for stage, count in told["stages"].items()} == dict.fromkeys(
        ("pretrain", "finetune", "detect")
    )
    (resolution,) = told["resolution"]
    assert resolution["labels"] == 10_000
    assert "unknown" in noisetune("plan", offline / "sweep.yaml", "--no-measure").out


@pytest.mark.long
@pytest.mark.parametrize("file", ["paper_cifar10", "paper_cifar100", "noise_models"])
def test_the_papers_sweeps_are_planned_without_a_network(
    noisetune: Callable[..., Any], offline: Path, file: str
) -> None:
    sweep = Path(__file__).resolve().parents[2] / "sweeps" / f"{file}.yaml"
    assert noisetune("plan", sweep, "--no-measure").code == 0
    assert list((offline / "empty").iterdir()) == []


@pytest.mark.parametrize(("seconds", "warned"), [(290.0, False), (420.0, True)])
def test_epochs_that_a_lost_host_would_make_dear_are_told_of(
    plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, seconds: float, warned: bool
) -> None:
    speed = Speed(seconds)
    monkeypatch.setattr("noisetune.sweep.plan.calibrate", lambda *_: speed)
    said = plan()
    assert said.code == 0
    assert ("takes about 7 minutes" in said.out) == warned
    assert json.loads(plan("--json").out)["longest_epoch"][1] == seconds
