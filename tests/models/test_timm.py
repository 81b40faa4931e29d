"""Networks of timm, those that it has for tests, as backbones."""

import sys
from typing import Any

import pytest
import torch

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models.base import Size
from noisetune.models.timm import Config, Network, feature_dim
from noisetune.models.vit_tiny import Config as ViTTiny
from noisetune.seeds import seeded_initialisation
from noisetune.testing import promises
from noisetune.testing.promises import Check
from noisetune.training.optimisation import undecayed
from noisetune.training.speed import forward_flops


@pytest.fixture
def library() -> Any:
    return pytest.importorskip("timm", reason="pip install 'noisetune[timm]'")


def build(architecture: str, channels: int = 3, size: Size = (32, 32)) -> Network:
    with seeded_initialisation("timm"):
        backbone = Config(architecture=architecture).build(channels, size)
    assert isinstance(backbone, Network)
    return backbone.eval()


@pytest.mark.parametrize("promise", promises(Config))
@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_vit"])
@pytest.mark.usefixtures("library")
def test_it_keeps_its_promises(architecture: str, promise: Check) -> None:
    promise(Config, architecture=architecture)


@pytest.mark.parametrize(
    ("architecture", "channels", "size"),
    [("test_resnet", 1, (32, 48)), ("test_vit", 3, (32, 48)), ("test_convnext", 1, (64, 64))],
)
def test_it_is_timms_network_without_its_classifier(
    library: Any, architecture: str, channels: int, size: Size
) -> None:
    shape = {"in_chans": channels} | ({"img_size": size} if "vit" in architecture else {})
    theirs = library.create_model(architecture, num_classes=5, **shape).eval()
    ours = build(architecture, channels, size)
    ours.load_state_dict(Config(architecture=architecture).own_names(theirs.state_dict()))
    images = torch.rand(2, channels, *size)
    with torch.no_grad():
        features = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(ours(images), features)
    assert ours.feature_dim == features.shape[1]


def test_layers_are_as_timm_groups_them(library: Any) -> None:
    """What makes tokens, then each block; its last normalisation is with the last one."""
    backbone = build("test_vit")
    network = backbone.network
    grouped = library.models.group_parameters(network, network.group_matcher(coarse=False))
    named = dict(backbone.named_parameters())
    own = [[named[f"network.{name}"] for name in grouped[index]] for index in range(len(grouped))]
    assert len(own) == len(network.blocks) + 1
    assert [[*map(id, layer)] for layer in backbone.by_depth()] == [
        [*map(id, each)] for each in own
    ]


@pytest.mark.usefixtures("library")
def test_what_timm_does_not_decay_is_spared_where_weights_alone_decay() -> None:
    backbone = build("test_vit")
    assert "network.pos_embed" in backbone.undecayed
    assert backbone.network.pos_embed in undecayed(backbone)


@pytest.mark.usefixtures("library")
def test_one_that_says_nothing_of_its_layers_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build("test_resnet")
    monkeypatch.delattr(type(backbone.network), "group_matcher")
    assert backbone.by_depth() == [list(backbone.parameters())]


def test_nothing_in_it_draws_numbers(library: Any) -> None:
    """tiny_vit_11m_224 has stochastic depth by itself."""
    drop, name = library.layers.DropPath, "tiny_vit_11m_224"
    with torch.device("meta"):
        theirs, ours = library.create_model(name), Config(architecture=name).build(3, (224, 224))
    assert any(each.drop_prob for each in theirs.modules() if isinstance(each, drop))
    assert not any(each.drop_prob for each in ours.modules() if isinstance(each, drop))


@pytest.mark.usefixtures("library")
def test_its_operations_are_counted() -> None:
    """Of one pass: as many as of the same network here, which timm's name is of 224 pixels."""
    model, ours = Config(architecture="vit_tiny_patch16_224"), ViTTiny(patch=16)
    feature_dim.cache_clear()
    assert forward_flops(model, (3, 224, 224)) == forward_flops(ours, (3, 224, 224))


@pytest.mark.parametrize(
    ("architecture", "size", "message"),
    [
        ("resnet19", (32, 32), "'resnet19': timm .* has no network of this name; .* resnet18"),
        ("hf-hub:timm/resnet18", (32, 32), "has no network of this name"),
        ("local-dir:/tmp", (32, 32), "has no network of this name"),
        ("test_vit.r160_in1k", (32, 32), "r160_in1k names weights; write test_vit here"),
        ("test_vit", (8, 8), "test_vit: does not take images of 8x8 pixels .*; set data.size"),
        ("vgg11", (16, 16), "vgg11: does not take images of 16x16 pixels"),
    ],
)
@pytest.mark.usefixtures("library")
def test_what_cannot_be_built_is_refused(architecture: str, size: Size, message: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.architecture: .*{message}"):
        build(architecture, size=size)


def test_where_it_is_not_installed_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration can be read, as those of another machine are."""
    monkeypatch.setitem(sys.modules, "timm", None)
    feature_dim.cache_clear()
    raw = {"model": {"name": "timm", "architecture": "test_vit"}}
    model = TrialConfig.parse(raw, "mine.yaml").model
    with pytest.raises(UserError, match=r"^model.name: timm: .*pip install 'noisetune\[timm\]'"):
        model.build(3, (32, 32))


def test_torchvisions_weights_are_refused_with_the_method_that_has_timms() -> None:
    raw = {"model": {"name": "timm", "architecture": "x"}, "pretrain": {"method": "imagenet"}}
    with pytest.raises(UserError, match=r"^mine.yaml: model.name: timm: .*pretrain.method: timm"):
        TrialConfig.parse(raw, "mine.yaml")


def test_a_configuration_imports_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    Config(architecture="test_vit").identity()
    assert "timm" not in sys.modules
