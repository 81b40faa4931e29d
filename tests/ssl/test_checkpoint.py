"""Weights from a file or from the store, by our own names or torchvision's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from pydantic import ValidationError
from torch import Tensor, nn

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.pipeline import run_trial
from noisetune.ssl.checkpoint import Config
from noisetune.store import EntryInfo, NullStore, Store
from noisetune.training.loop import strip

MODEL = ResNet18(width=4)


def own() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return MODEL.build(1, (8, 8)).state_dict()


def encoder(store: Any = None, model: ResNet18 = MODEL, **fields: Any) -> dict[str, Tensor]:
    return Config(**fields).encoder(model, 1, (8, 8), store or NullStore())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.fixture(scope="module")
def stored(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_trial: Callable[..., TrialConfig],
    drive: Callable[..., Any],
) -> Store:
    """The stages of a trial with pre-trainings of one and of two epochs."""
    store = Store.open(tmp_path_factory.mktemp("stages"))
    for epochs in (1, 2):
        drive(run_trial(tiny_trial(pretrain={"epochs": epochs}, finetune={"epochs": 1}), store))
    return store


def entry(store: Store, stage: str, step: int) -> EntryInfo:
    return next(each for each in store.list() if (each.stage, each.step) == (stage, step))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("prefix", [None, "network.encoder.", "network.encoder"])
def test_own_names_are_read_under_their_prefix(
    tmp_path: Path, suffix: str, prefix: str | None
) -> None:
    state, file = own(), tmp_path / f"a{suffix}"
    start = "" if prefix is None else "network.encoder."
    saved = {start + name: tensor for name, tensor in state.items()}
    if prefix is not None:
        saved["network.projector.0.weight"] = torch.ones(2)
    (torch.save if suffix == ".pt" else safetensors.torch.save_file)(saved, file)
    assert same(encoder(path=file, prefix=prefix), state)


def test_torchvisions_names_are_recognised(tmp_path: Path) -> None:
    """Its network with a 3x3 stem and no pooling, its classifier left out."""
    theirs = torchvision.models.resnet18(weights=None, num_classes=7)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    torch.save({f"module.{k}": v for k, v in theirs.state_dict().items()}, tmp_path / "a.pth")
    ours = ResNet18().build(3, (8, 8)).eval()
    config = Config(path=tmp_path / "a.pth", prefix="module.")
    ours.load_state_dict(config.encoder(ResNet18(), 3, (8, 8), NullStore()))
    theirs.fc = nn.Identity()
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs.eval()(images))


def test_the_large_stem_of_imagenet_is_refused(imagenet_file: Path) -> None:
    with pytest.raises(UserError, match=r"misshapen stem.0.weight \(float32 \[64, 3, 7, 7\] inst"):
        Config(path=imagenet_file).encoder(ResNet18(), 3, (8, 8), NullStore())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stem.0.weight": None}, "has no stem.0.weight"),
        ({"head.weight": torch.ones(1)}, "has the unexpected head.weight"),
        ({"stem.0.weight": torch.ones(4, 3, 3, 3)}, "has the misshapen stem.0.weight"),
    ],
)
def test_the_whole_encoder_is_loaded_and_nothing_else(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    file = tmp_path / "a.pt"
    torch.save({name: x for name, x in (own() | change).items() if x is not None}, file)
    with pytest.raises(UserError, match=f"pretrain.path: .*a.pt: .*{told}"):
        encoder(path=file)


def test_a_prefix_that_nothing_has_says_what_there_is(tmp_path: Path) -> None:
    torch.save(own(), tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"prefix 'net': no tensor's name begins so; .* stages.0.0"):
        encoder(path=tmp_path / "a.pt", prefix="net")


@pytest.mark.parametrize("chars", [8, 12, 32])
@pytest.mark.parametrize("step", [1, 2])
def test_a_pretraining_of_the_store_by_its_digest(stored: Store, chars: int, step: int) -> None:
    there = entry(stored, "pretrain", step)
    (file,) = Path(stored.url).glob(f"pretrain/*/*/step-{step:06d}/*.safetensors")
    tensors = safetensors.torch.load_file(file)
    loaded = encoder(stored, stage=there.digest[:chars], step=step)
    assert same(loaded, strip("network.encoder", tensors))


def test_a_finetuned_network_of_the_store_gives_its_backbone(stored: Store) -> None:
    there = entry(stored, "finetune", 1)
    assert encoder(stored, stage=there.digest[:8]).keys() == own().keys()


def test_a_stage_of_several_entries_needs_the_step(stored: Store) -> None:
    digest = entry(stored, "pretrain", 1).digest
    with pytest.raises(UserError, match=rf"{digest[:12]} with step 1, .* step 2; .*pretrain.step"):
        encoder(stored, stage=digest[:8])


@pytest.mark.parametrize("where", ["another digest", "another step", "no store", "detection"])
def test_a_stage_that_is_not_there_is_refused(stored: Store, where: str) -> None:
    kind = ("detect", 0) if where == "detection" else ("pretrain", 1)
    digest = entry(stored, *kind).digest
    store = NullStore() if where == "no store" else stored
    fields: dict[str, Any] = {"stage": "0" * 32 if where == "another digest" else digest}
    fields |= {"step": 9} if where == "another step" else {}
    with pytest.raises(UserError, match="it names none; `noisetune store ls` lists them"):
        encoder(store, **fields)


def test_a_stage_of_another_width_is_refused(stored: Store) -> None:
    digest = entry(stored, "pretrain", 1).digest
    with pytest.raises(UserError, match=f"pretrain.stage: {digest}: has the misshapen stem.0.weig"):
        encoder(stored, ResNet18(width=8), stage=digest, step=1)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "give one of path and stage"),
        ({"path": "a.pt", "stage": "0" * 8}, "give one of path and stage"),
        ({"path": "a.pt", "step": 1}, "step: it chooses an entry of a stage"),
        ({"stage": "../../x"}, "should match pattern"),
    ],
)
def test_there_is_one_source(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Config(**fields)
