"""Weights of timm in our network, tried with files like theirs of random weights."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models.base import Size
from noisetune.models.timm import Config as Model
from noisetune.ssl.checkpoint import Config as Checkpoint
from noisetune.ssl.timm import FILES, Config
from noisetune.store import NullStore

timm: Any = pytest.importorskip("timm", reason="pip install 'noisetune[timm]'")
FETCH = "timm.models._builder.load_state_dict_from_hf"
VIT, WEIGHTS = "test_vit", "r160_in1k"


@pytest.fixture
def theirs() -> nn.Module:
    """A network with a classifier, for 160 pixels as its published weights are."""
    return timm.create_model(VIT).eval()


@pytest.fixture
def file(theirs: nn.Module, tmp_path: Path) -> Path:
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    return tmp_path / "theirs.safetensors"


def encoder(
    file: Path | None, channels: int = 3, size: Size = (160, 160), weights: str = WEIGHTS
) -> dict[str, Tensor]:
    method = Config(weights=weights, path=file)
    return method.encoder(Model(architecture=VIT), channels, size, NullStore())


def features(given: dict[str, Tensor], images: Tensor) -> Tensor:
    backbone = Model(architecture=VIT).build(images.shape[1], (images.shape[2], images.shape[3]))
    backbone.load_state_dict(given)
    with torch.no_grad():
        return backbone.eval()(images)


def test_it_computes_what_timms_network_does(theirs: nn.Module, file: Path) -> None:
    images = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
    torch.testing.assert_close(features(encoder(file), images), expected)


def test_a_grey_image_is_answered_as_its_colour_image_is(file: Path) -> None:
    grey = torch.rand(2, 1, 160, 160)
    answers = [
        features(encoder(file, channels), grey.expand(-1, channels, -1, -1)) for channels in (1, 3)
    ]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-4)


def test_positions_are_fitted_to_other_images(file: Path) -> None:
    whole, small = encoder(file), encoder(file, size=(32, 32))
    other = [name for name in whole if not small[name].equal(whole[name])]
    assert other == ["network.pos_embed"]
    assert features(small, torch.rand(2, 3, 32, 32)).isfinite().all()


def test_a_file_of_exactly_these_tensors_is_a_checkpoint_too(file: Path) -> None:
    model, given = Model(architecture=VIT), Checkpoint(path=file)
    read, expected = given.encoder(model, 3, (160, 160), NullStore()), encoder(file)
    assert read.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in read.items())


def test_weights_are_fetched_by_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(name: str, **how: Any) -> dict[str, Tensor]:
        assert how["weights_only"]
        asked.append(name)
        return safetensors.torch.load_file(file)

    monkeypatch.setattr(FETCH, fetch)
    fetched, read = encoder(None), encoder(file)
    assert set(asked) == {f"timm/{VIT}.{WEIGHTS}"}
    assert all(fetched[name].equal(tensor) for name, tensor in read.items())


def test_weights_that_cannot_be_fetched_say_to_give_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(FETCH, fetch)
    with pytest.raises(
        UserError, match=rf"^pretrain.weights: {WEIGHTS}: .*no route.*pretrain.path"
    ):
        encoder(None)


def test_a_file_that_leaves_something_at_random_is_refused(
    theirs: nn.Module, tmp_path: Path
) -> None:
    """timm itself would only log that."""
    left = {name: each for name, each in theirs.state_dict().items() if "blocks.1" not in name}
    safetensors.torch.save_file(left, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match=r"^pretrain.path: .*part.* finds no blocks\.1\.\S+weight"):
        encoder(tmp_path / "part.safetensors")


def test_tensors_of_another_shape_are_refused(theirs: nn.Module, tmp_path: Path) -> None:
    state = theirs.state_dict() | {"norm.weight": torch.ones(7)}
    safetensors.torch.save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"^pretrain.path: .*other.* cannot be read into test_vit"):
        encoder(tmp_path / "other.safetensors")


def test_the_process_draws_what_it_would_have_drawn(file: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    encoder(file)
    assert torch.rand(1).equal(expected)


def test_a_name_that_timm_does_not_have_is_answered_with_those_that_it_has(file: Path) -> None:
    with pytest.raises(
        UserError, match=r"^pretrain.weights: 'v2': .* test_vit; choose one of r160"
    ):
        encoder(file, weights="v2")


def test_another_backbone_is_refused_with_the_configuration() -> None:
    raw = {"model": {"width": 4}, "pretrain": {"method": "timm", "weights": WEIGHTS}}
    with pytest.raises(UserError, match=r"^mine.yaml: model.name: resnet18: .* model.name: timm"):
        TrialConfig.parse(raw, "mine.yaml")


def test_what_is_not_in_the_cache_has_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    model, method = Model(architecture=VIT), Config(weights=WEIGHTS)
    assert not method.is_here(model)
    stand_in = method.stand_in(model, tmp_path / "smoke")
    assert stand_in is not None
    assert encoder(Path(stand_in.fields["path"]), 1, (32, 32))


def test_what_is_in_the_cache_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(repository: str, name: str) -> str | None:
        return str(tmp_path) if (repository, name) == (f"timm/{VIT}.{WEIGHTS}", FILES[0]) else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", look)
    model, method = Model(architecture=VIT), Config(weights=WEIGHTS)
    assert method.is_here(model)
    assert method.stand_in(model, tmp_path) is None
