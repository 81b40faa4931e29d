"""The sweeps in this repository: they load, and cost what their comments say."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from noisetune.config import TrialConfig
from noisetune.data import fashion_mnist
from noisetune.data._made_up import made_up
from noisetune.data._published import Part, PublishedConfig
from noisetune.data.cifar10 import CifarConfig
from noisetune.noise.base import CleanPart
from noisetune.noise.human import NAMES
from noisetune.ssl.base import SSLConfig
from noisetune.ssl.imagenet import Config as ImageNet
from noisetune.store import NullStore
from noisetune.sweep.plan import make_plan
from noisetune.sweep.preflight import preflight
from noisetune.sweep.spec.config import find_search_space, read_sweep
from noisetune.sweep.spec.space import read_space
from noisetune.sweep.spec.sweep import Sweep

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
FILES = sorted(SWEEPS.glob("*.yaml"))
COSTS = re.compile(
    r"^# Costs (?:at most )?([\d,]+) trials: (?:at most )?([\d,]+) epochs of pre-training, "
    r"([\d,]+) of fine-tuning\.",
    re.MULTILINE,
)


def sweep_of(name: str) -> Sweep:
    file = SWEEPS / f"{name}.yaml"
    config = read_sweep(file)
    return Sweep.prepare(config, read_space(find_search_space(config.search_space, file)))


def first_trials(name: str) -> dict[str, TrialConfig]:
    """A trial of each condition, by its name."""
    return {each.name: each.trial(next(iter(each.corners()))) for each in sweep_of(name).conditions}


@pytest.fixture
def everything_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imagenet_file: Path) -> None:
    """What the sweeps read, few and made up: images, label files in data/, ImageNet weights."""

    def part(self: PublishedConfig, part: str) -> Part:
        count = max(300, self.train_samples or 0) if part == "train" else 300
        images = made_up(self.name, part, count, len(self.classes), self.shape)
        return Part(*images, self.classes)

    weights = torch.load(imagenet_file)
    for published in (CifarConfig, fashion_mnist.Config):
        monkeypatch.setattr(published, "read_part", part)
    monkeypatch.setattr(ImageNet, "_read", lambda self, published: weights)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for classes in (10, 100):
        clean = np.arange(300) % classes
        labels = {
            name: np.where(np.arange(300) % 7 == index, (clean + 1) % classes, clean)
            for index, name in enumerate(NAMES.values())
        }
        labels["clean_label"] = clean
        torch.save(labels, tmp_path / "data" / f"CIFAR-{classes}_human.pt")


DEAR = ("budget_matched", "frozen", "methods", "pretrain_epochs", "sensitivity", "cifar_n")
DEAR += (
    "paper_cifar10",
    "paper_cifar100",
    "cifar10_cpu",
    "methods_cpu",
    "small_clean_set",
    "detectors",
)
DEAR += (
    "methods_ssl",
    "methods_ssl_cpu",
    "vit",
    "selection",
    "imagenet_fair",
    "imagenet_fair_32",
    "noise_models",
    "long_finetune",
)
"""Sweeps whose trials take over five seconds to count."""


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.stem, marks=[pytest.mark.long] * (file.stem in DEAR))
        for file in FILES
    ],
)
def test_a_sweep_costs_what_its_comment_says(file: Path, everything_there: None) -> None:
    said = COSTS.search(file.read_text())
    assert said is not None
    sweep = Sweep.read(file)
    preflight(sweep)
    plan = make_plan(sweep, {"CPU": 4}, NullStore(), measure=False)
    assert [int(number.replace(",", "")) for number in said.groups()] == [
        plan.search_trials + plan.replicates,
        plan.stages["pretrain"].epochs,
        plan.stages["finetune"].epochs,
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_comment_says_which_protocol_and_why(file: Path) -> None:
    protocol = read_sweep(file).trial.get("protocol", "standard")
    if file.stem != "quickstart":
        assert re.search(rf"# protocol: {protocol}\b", file.read_text())


def test_every_search_space_belongs_to_a_sweep() -> None:
    used = {read_sweep(file).search_space for file in FILES}
    assert used == {file.stem for file in (SWEEPS.parent / "search_spaces").glob("*.yaml")}


def test_every_arm_of_a_matched_budget_costs_the_same() -> None:
    """As `cost/passes` counts: two for an epoch of pre-training, one for one of fine-tuning."""
    sweep = sweep_of("budget_matched")
    passes = {
        name: 2 * (trial.pretrain.epochs if isinstance(trial.pretrain, SSLConfig) else 0)
        + trial.finetune.epochs
        for name, trial in first_trials("budget_matched").items()
    }
    assert len(passes) == 3 * 2 * 4
    assert set(passes.values()) == {2 * 100 + 10}
    searched = {tuple(each.parameters) for each in sweep.conditions}
    assert searched == {("finetune.lr", "finetune.weight_decay")}
    assert sweep.config.pruner == {"name": "none"}
    assert sweep.config.patience is None


def test_every_arm_of_the_transformers_costs_as_many_operations() -> None:
    """Pre-training and fine-tuning see nine images in ten, or all: by passes both ways."""
    passes = []
    for name, trial in first_trials("vit").items():
        shape, method = (3, 32, 32), trial.pretrain
        before = (
            method.epochs * method.passes(trial.model, shape)
            if isinstance(method, SSLConfig)
            else 0.0
        )
        passes.append(before + trial.finetune.epochs)
        assert trial.model.name == "vit_tiny", name
    assert len(passes) == 4 * 4
    assert passes == pytest.approx([220] * 16, rel=1e-3)


def test_every_method_costs_as_many_passes() -> None:
    costs = [
        trial.pretrain.epochs * trial.pretrain.passes(trial.model, (3, 32, 32))
        for trial in first_trials("methods_ssl").values()
        if isinstance(trial.pretrain, SSLConfig)
    ]
    assert costs == pytest.approx([200] * 2 * 3 * 8)


def test_noise_models_are_compared_at_one_rate(everything_there: None) -> None:
    rates = []
    for trial in first_trials("noise_models").values():
        data = trial.data.load()
        clean = CleanPart(
            data.y_train.numpy(), data.classes, data.class_names, data.x_train.numpy(), data.mean,
            data.std,
        )  # fmt: skip
        rates.append(1 - trial.noise.transition_matrix(clean).diagonal().mean())
    assert rates == pytest.approx([0.2] * 12)


def test_the_main_table_has_the_papers_recipe() -> None:
    for name, data in (("paper_cifar10", "cifar10"), ("paper_cifar100", "cifar100")):
        trials = first_trials(name).values()
        assert {trial.data.name for trial in trials} == {data}
        assert {trial.pretrain_seed for trial in trials} == {"per_replicate"}
        assert {getattr(trial.pretrain, "stem", "random") for trial in trials} == {"random"}
        assert {getattr(trial.pretrain, "epochs", 100) for trial in trials} == {100}
        assert {trial.finetune.epochs for trial in trials} == {10}
