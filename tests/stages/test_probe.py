"""Heads on features: computed once for an encoder, or given."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.finetuning.base import FinetuneConfig
from noisetune.models.base import Classifier
from noisetune.pipeline import Options, run_trial
from noisetune.records import MetricPoint, TrialResult
from noisetune.ssl.base import Features
from noisetune.stages import runner
from noisetune.stages.base import Inputs, Stage
from noisetune.stages.features import extract_key, extract_stage, features_in
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.given import given_features
from noisetune.stages.kept import Kept
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, NullStore, StageKey, Store
from noisetune.training.augment import normalise
from noisetune.training.loop import strip

TinyTrial = Callable[..., TrialConfig]
InputsOf = Callable[[TrialConfig], Inputs]
Drive = Callable[..., tuple[list[Any], Any]]
AssertSame = Callable[[Artifact, Artifact], None]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def probe(tiny_trial: TinyTrial) -> TinyTrial:
    """The tiny trial with a probe, by default of random weights."""

    def build(pretrain: Any = None, finetune: Any = None, **changes: Any) -> TrialConfig:
        tuned = {"train": "probe", "epochs": 3, **(finetune or {})}
        return tiny_trial(pretrain=pretrain or {"method": "none"}, finetune=tuned, **changes)

    return build


@pytest.fixture
def extracted(inputs_of: InputsOf, drive: Drive) -> Callable[[TrialConfig], Inputs]:
    """What a trial works on, with features by its random weights."""

    def extracted(config: TrialConfig) -> Inputs:
        inputs = inputs_of(config)
        key = extract_key(inputs.config, inputs.data, None, 0)
        _, made = drive(run_stage(extract_stage(inputs, None, key), NullStore()))
        return replace(inputs, features=features_in(made))

    return extracted


def staged(inputs: Inputs) -> Stage:
    return finetune_stage(inputs, None, finetune_key(inputs.config, inputs.data, None, 0))


def given(config: TrialConfig) -> tuple[StageKey, Features]:
    found = given_features(config, config.data.load())
    assert found is not None
    return found


def written(folder: Path, features: Features) -> Path:
    folder.mkdir()
    for part in ("train", "test"):
        np.save(folder / f"{part}.npy", getattr(features, part).numpy())
    return folder


def points(events: list[Any]) -> list[tuple[str, int, Any]]:
    return [
        (each.stage, each.step, each.values) for each in events if isinstance(each, MetricPoint)
    ]


@torch.no_grad()
def by_hand(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    data = inputs.data
    backbone = inputs.backbone(inputs.config.replicate).eval()
    train, test = (backbone(normalise(x, data.mean, data.std)) for x in (data.x_train, data.x_test))
    return train, test


def test_features_are_those_of_the_plain_images(
    probe: TinyTrial, extracted: Callable[[TrialConfig], Inputs]
) -> None:
    inputs = extracted(probe())
    assert inputs.features is not None
    train, test = by_hand(inputs)
    torch.testing.assert_close(inputs.features.train, train)
    torch.testing.assert_close(inputs.features.test, test)


def test_it_is_a_linear_layer_trained_on_them(
    probe: TinyTrial, extracted: Callable[[TrialConfig], Inputs], drive: Drive
) -> None:
    """A plain loop, on the same batches, comes to the same weights and accuracy."""
    inputs = extracted(probe(finetune={"batch_size": 16}))
    _, made = drive(run_stage(staged(inputs), NullStore()))
    assert inputs.features is not None
    fit = torch.from_numpy(inputs.labels.fit)
    vectors, labels = inputs.features.train[fit], torch.from_numpy(inputs.labels.train)[fit]
    with inputs.stream("finetune", "initialisation").initialising(0):
        layer = nn.Linear(vectors.shape[1], inputs.data.classes)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=1e-4)
    order = inputs.stream("finetune", "order")
    accuracies = []
    for epoch in range(3):
        for rows in torch.randperm(len(fit), generator=order.generator(epoch)).split(16):
            optimizer.zero_grad()
            F.cross_entropy(layer(vectors[rows]), labels[rows]).backward()
            optimizer.step()
        right = layer(inputs.features.test).argmax(1) == inputs.data.y_test
        accuracies.append(float(right.double().mean()))
    told = [point["values"]["test/accuracy"] for point in made.record["points"]]
    assert told == accuracies
    torch.testing.assert_close(made.tensors["logits.last"], layer(inputs.features.test).detach())


def test_an_mlp_has_a_hidden_layer(
    probe: TinyTrial, extracted: Callable[[TrialConfig], Inputs], drive: Drive
) -> None:
    inputs = extracted(probe(finetune={"head": "mlp", "hidden": 7}))
    _, made = drive(run_stage(staged(inputs), NullStore()))
    shapes = {name: tuple(each.shape) for name, each in strip("selected", made.tensors).items()}
    assert shapes["head.0.weight"] == (7, 32)
    assert shapes["head.2.weight"] == (10, 7)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_trial_goes_on_bit_for_bit(
    probe: TinyTrial,
    extracted: Callable[[TrialConfig], Inputs],
    drive: Drive,
    assert_same: AssertSame,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    head: str,
) -> None:
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", -1.0)
    stage = staged(extracted(probe(finetune={"head": head})))
    stopped = run_stage(stage, store)
    for _ in range(3):
        next(stopped)
    stopped.close()
    assert store.steps(stage.key) == [2]
    made = [drive(run_stage(stage, each))[1] for each in (store, NullStore())]
    assert_same(*made)


@pytest.mark.parametrize("pretrain", [{"method": "none"}, {"method": "simclr"}])
def test_features_are_computed_once_and_shared(
    probe: TinyTrial, store: Store, computed: list[str], drive: Drive, pretrain: dict[str, Any]
) -> None:
    """By trials of other noise, rates and heads; the second one has the same seconds of them."""
    ways: list[dict[str, Any]] = [
        {},
        {"noise": {"rate": 0.2}},
        {"finetune": {"lr": 0.1}},
        {"finetune": {"head": "mlp"}},
        {"detect": {"folds": 2}},
    ]
    results = [drive(run_trial(probe(pretrain, **way), store))[1] for way in ways]
    assert computed.count("extract") == 1
    assert computed.count("finetune") == 4
    assert len({result.seconds["extract"] for result in results}) == 1


def test_what_is_kept_changes_no_result(probe: TinyTrial, store: Store, drive: Drive) -> None:
    """From the store, from memory, or computed anew: the same points and result."""
    config, kept = probe({"method": "simclr"}), Options(kept=Kept())
    runs = [
        drive(run_trial(config, where, options))
        for where, options in ((NullStore(), Options()), (NullStore(), kept), (NullStore(), kept))
    ]
    drive(run_trial(probe({"method": "simclr"}, finetune={"lr": 0.1}), store))
    runs.append(drive(run_trial(config, store)))
    told = [points(events) for events, _ in runs]
    assert told[0] == told[1] == told[2] == told[3]
    assert len({repr((result.epochs, result.detection)) for _, result in runs}) == 1


def test_another_data_set_is_not_taken_for_the_one_before(probe: TinyTrial, drive: Drive) -> None:
    options = Options(kept=Kept())
    few, more = probe(), probe(data={"train_samples": 80})
    told = [points(drive(run_trial(each, NullStore(), options))[0]) for each in (few, more, few)]
    assert told[0] == told[2] != told[1]


def test_given_features_are_the_same_as_the_encoders_own(
    probe: TinyTrial, extracted: Callable[[TrialConfig], Inputs], tmp_path: Path, drive: Drive
) -> None:
    own = probe(detect={"folds": 2})
    features = extracted(own).features
    assert features is not None
    path = written(tmp_path / "given", features)
    other = probe({"method": "features", "path": str(path)}, detect={"folds": 2})
    results = [drive(run_trial(each, NullStore())) for each in (own, other)]
    told = [points(events) for events, _ in results]
    assert told[0] == told[1]
    assert results[0][1].detection == results[1][1].detection


def test_neither_images_nor_model_are_read_of_given_features(
    probe: TinyTrial, tmp_path: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data set has one pixel an image, which no backbone takes."""
    random, labels = np.random.default_rng(0), np.arange(60) % 4
    pixels = np.zeros((60, 1, 1), np.uint8)
    data = tmp_path / "labels.npz"
    np.savez(data, x_train=pixels, y_train=labels, x_test=pixels[:20], y_test=labels[:20])
    vectors = torch.from_numpy(random.normal(size=(60, 6))).float()
    path = written(tmp_path / "given", Features(vectors, vectors[:20]))
    monkeypatch.setattr(
        "noisetune.models.resnet18.Config.build", lambda *_: pytest.fail("it was built")
    )
    config = probe(
        {"method": "features", "path": str(path)},
        data={"name": "npz", "path": str(data), "overlap": "allow"},
    )
    _, result = drive(run_trial(config, NullStore()))
    assert isinstance(result, TrialResult)
    assert "extract" not in result.seconds
    assert result.cost["passes"] == 3


@pytest.fixture
def vectors(probe: TinyTrial, tmp_path: Path) -> Callable[..., TrialConfig]:
    """A trial on features of so many rows."""

    def build(train: int = 60, test: int = 30, **changes: Any) -> TrialConfig:
        rows = torch.arange(200.0)[:, None].expand(200, 4)
        path = written(tmp_path / f"{train}-{test}", Features(rows[:train], rows[:test]))
        return probe({"method": "features", "path": str(path)}, **changes)

    return build


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [(59, 30, "train has 59 rows, .* 60 train images"), (60, 29, "test has 29 rows, .* 30 test")],
)
def test_rows_that_are_not_the_images_are_refused(
    vectors: TinyTrial, drive: Drive, store: Store, train: int, test: int, message: str
) -> None:
    with pytest.raises(UserError, match=f"pretrain.path: {message}"):
        drive(run_trial(vectors(train, test), store))
    assert list(store.list()) == []


def test_of_more_rows_the_first_are_taken_where_images_are_too(vectors: TinyTrial) -> None:
    """And where the data set is whole, as it is in `test`, more are a mistake."""
    key, features = given(vectors(100, 50))
    assert features.train[:, 0].tolist() == list(range(60))
    assert features.test[:, 0].tolist() == list(range(30))
    assert key != given(vectors(100, 50 + 1))[0]
    whole = vectors(1437, 360, data={"train_samples": None, "test_samples": None})
    with pytest.raises(UserError, match="train has 200 rows, and the data set has 1437"):
        given(whole)


def test_a_part_of_the_data_set_has_its_own_rows(vectors: TinyTrial) -> None:
    config = vectors(100, 30)
    rows = torch.arange(60).flip(0) + 20
    data = replace(config.data.load(), rows=rows)
    found = given_features(config, data)
    assert found is not None
    assert found[1].train[:, 0].equal(rows.float())
    assert found[0] != given(config)[0]
    with pytest.raises(UserError, match="train has 100 rows"):
        given_features(config, replace(data, rows=rows + 40))


def test_features_are_known_by_content_rows_and_scale(vectors: TinyTrial) -> None:
    config = vectors(60, 30)
    same = given(config)[0]
    assert given(config)[0] == same
    scaled = config.pretrain.model_copy(update={"normalise": "unit"})
    assert given(config.model_copy(update={"pretrain": scaled}))[0] != same


def keys(config: TrialConfig) -> tuple[StageKey, StageKey]:
    data = config.data.load()
    origin = extract_key(config, data, None, 0)
    return origin, finetune_key(config, data, origin, 0)


@pytest.mark.parametrize(
    ("changes", "features", "tuning"),
    [
        ({}, True, True),
        ({"finetune": {"augment": {"pad": 1}}}, True, True),
        ({"noise": {"rate": 0.2}}, True, False),
        ({"finetune": {"hidden": 7}}, True, True),
        ({"finetune": {"head": "mlp"}}, True, False),
        ({"model": {"width": 8}}, False, False),
        ({"replicate": 1}, False, False),
    ],
    ids=str,
)
def test_keys_hold_what_is_read(
    probe: TinyTrial, changes: dict[str, Any], features: bool, tuning: bool
) -> None:
    one, other = keys(probe()), keys(probe(**changes))
    assert [one[0] == other[0], one[1] == other[1]] == [features, tuning]


def test_a_linear_head_has_the_key_that_it_had(tiny_trial: TinyTrial) -> None:
    identity = tiny_trial().finetune.identity()
    assert not identity.keys() & {"head", "hidden"}
    assert {"head", "hidden"} <= tiny_trial(finetune={"head": "mlp"}).finetune.identity().keys()


@pytest.mark.parametrize("train", ["all", "head"])
def test_given_features_are_for_probes_alone(tiny_trial: TinyTrial, train: str) -> None:
    with pytest.raises(UserError, match=f"finetune.train: {train}: under pretrain.method features"):
        tiny_trial(pretrain={"method": "features", "path": "x.npz"}, finetune={"train": train})


def test_a_method_that_changes_images_is_refused() -> None:
    class Mixing(FinetuneConfig):
        changes_images: ClassVar[bool] = True
        method: Literal["mixing"] = "mixing"

    Mixing(train="head")
    with pytest.raises(ValidationError, match="train: probe: method mixing changes images"):
        Mixing(train="probe")


def test_a_probe_costs_its_features_and_its_heads_share(probe: TinyTrial, drive: Drive) -> None:
    """A pass forward is a third; a head of 32 x 10 weights is little beside its network."""
    _, result = drive(run_trial(probe(), NullStore()))
    assert 1 / 3 < result.cost["passes"] < 1 / 3 + 0.1
    _, wide = drive(run_trial(probe(finetune={"head": "mlp", "hidden": 512}), NullStore()))
    assert wide.cost["passes"] > result.cost["passes"]


def test_features_that_are_not_finite_end_the_trial(
    probe: TinyTrial, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from noisetune.training.loop import DivergedError

    broken = Inputs.begun

    def begun(self: Inputs, encoder: Artifact | None, number: int = 0) -> nn.Module:
        network = broken(self, encoder, number)
        next(network.parameters()).data.fill_(torch.nan)
        return network

    monkeypatch.setattr(Inputs, "begun", begun)
    with pytest.raises(DivergedError, match="features of the plain images are not finite"):
        drive(run_trial(probe(), NullStore()))


def test_an_mlp_head_is_one_for_images_too(
    tiny_trial: TinyTrial, inputs_of: InputsOf, drive: Drive
) -> None:
    inputs = inputs_of(tiny_trial(finetune={"head": "mlp", "hidden": 6}))
    _, made = drive(run_stage(staged(inputs), NullStore()))
    network = Classifier(inputs.config.model.build(1, (8, 8)), 10, hidden=6)
    network.load_state_dict(strip("selected", made.tensors))
