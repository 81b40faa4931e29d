"""What every backbone promises."""

import re
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torchvision.models import get_model

from noisetune.errors import UserError
from noisetune.models.base import Backbone, Classifier, ModelConfig, Size, TokenBackbone
from noisetune.seeds import derive_seed, generator, seeded_initialisation
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.testing.every import variations
from noisetune.testing.promises import promise, small, whole
from noisetune.testing.trials import assert_goes_on, tiny_inputs

SIZES = [(channels, (size, size)) for channels in (1, 3) for size in (8, 16, 32)]


@promise(ModelConfig)
def features_are_as_many_as_it_says(config: type[ModelConfig], **settings: Any) -> None:
    """Of images of 8, 16 and 32 pixels, grey and coloured, where it does not refuse the size."""
    model = small(config, **settings)
    taken = 0
    for channels, size in SIZES:
        if (backbone := _build_or_refuse(model, channels, size)) is None:
            continue
        taken += 1
        features = backbone(_images(2, channels, size))
        where = f"{channels}x{size[0]}x{size[1]}: features"
        assert features.shape == (2, backbone.feature_dim), f"{where}: {tuple(features.shape)}"
        assert features.isfinite().all(), f"{where}: must be finite"
    assert taken, f"build: refuses every one of {SIZES}"


@promise(ModelConfig)
def tokens_are_as_wide_as_features(config: type[ModelConfig], **settings: Any) -> None:
    """Of a backbone that gives tokens."""
    backbone, images = _a_backbone(small(config, **settings))
    if not isinstance(backbone, TokenBackbone):
        return
    tokens = backbone.tokens(images)
    assert tokens.ndim == 3, f"tokens: shape {tuple(tokens.shape)}, expected (B, T, feature_dim)"
    ends = (tokens.shape[0], tokens.shape[2])
    assert ends == (len(images), backbone.feature_dim), f"tokens: shape {tuple(tokens.shape)}"
    assert tokens.shape[1] > 0, "tokens: there are none"
    assert tokens.isfinite().all(), "tokens: must be finite"


@promise(ModelConfig)
def it_has_tokens_where_it_says_so(config: type[ModelConfig], **settings: Any) -> None:
    """And those of parts that it does not see change nothing."""
    model = small(config, **settings)
    backbone, images = _a_backbone(model)
    assert isinstance(backbone, TokenBackbone) == model.has_tokens, "has_tokens: it is not so"
    if not isinstance(backbone, TokenBackbone):
        return
    backbone.eval()
    every = torch.arange(backbone.parts).expand(len(images), -1)
    torch.testing.assert_close(backbone.encoded(images, every), backbone.encoded(images))
    (first,) = backbone.encoded(images[:1], every[:1, :1]).split(1)
    assert first.shape[1] == backbone.others + 1, "encoded: it gives tokens of unseen parts"
    unseen, side = images[:1].clone(), backbone.patch
    unseen[..., side:] = 0
    torch.testing.assert_close(backbone.encoded(unseen, every[:1, :1]), first)


@promise(ModelConfig)
def the_classifier_learns_all_of_its_weights(config: type[ModelConfig], **settings: Any) -> None:
    backbone, images = _a_backbone(small(config, **settings))
    network = Classifier(backbone, classes=7)
    logits = network(images)
    assert logits.shape == (len(images), 7)
    logits.square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, f"{name}: features do not depend on it"
        assert weight.grad.any(), f"{name}: its gradient is zero"


@promise(ModelConfig)
def every_weight_is_in_one_layer(config: type[ModelConfig], **settings: Any) -> None:
    """A learning rate that decays from layer to layer would leave it out, or move it twice."""
    backbone, _ = _a_backbone(small(config, **settings))
    held = Counter(id(weight) for layer in backbone.by_depth() for weight in layer)
    own = {id(weight): name for name, weight in backbone.named_parameters()}
    assert held.keys() <= own.keys(), "layers: has what is no parameter of the backbone"
    for weight, name in own.items():
        assert held[weight] == 1, f"layers: {name} is in {held[weight]} of them"


@promise(ModelConfig)
def its_weights_come_from_the_seed(config: type[ModelConfig], **settings: Any) -> None:
    model = small(config, **settings)
    first, second = (_a_backbone(model)[0].state_dict() for _ in range(2))
    differ = [name for name in first if not first[name].equal(second[name])]
    assert not differ, f"{differ}: must be drawn from torch's generator, which is seeded"
    other = _a_backbone(model, seed=1)[0].state_dict()
    assert any(not first[name].equal(other[name]) for name in first), "every seed is the same"


@promise(ModelConfig)
def an_image_is_judged_by_itself_after_training(config: type[ModelConfig], **settings: Any) -> None:
    backbone, images = _a_backbone(small(config, **settings))
    backbone.eval()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with torch.no_grad():
        alone, together = backbone(images[1:2]), backbone(images)[1:2]
    torch.testing.assert_close(together, alone)
    changed = [name for name, kept in backbone.state_dict().items() if not kept.equal(before[name])]
    assert not changed, f"{changed}: evaluation changes them"


@promise(ModelConfig)
def its_state_is_known_without_computing_it(config: type[ModelConfig], **settings: Any) -> None:
    """Names and shapes, for weights that are given; and its own names are its own."""
    model = small(config, **settings)
    backbone, images = _a_backbone(model)
    size = images.shape[2], images.shape[3]
    state, own = model.state(images.shape[1], size), backbone.state_dict()
    assert {name: each.shape for name, each in state.items()} == {
        name: each.shape for name, each in own.items()
    }, "state: other names or shapes than those of what is built"
    assert model.own_names(own).keys() == own.keys(), "own_names: renames its own"


@promise(ModelConfig)
def torchvisions_weights_have_a_place_in_it(config: type[ModelConfig], **settings: Any) -> None:
    """At its full size, where torchvision has weights for it; their stem may be another."""
    model = whole(config, **settings)
    try:
        published = model.published()
    except ValueError as error:
        _names_a_field(model, error)
        return
    with torch.device("meta"):
        theirs = model.own_names(get_model(published.architecture, weights=None).state_dict())
    wanted = model.state(3, (224, 224))
    assert theirs.keys() == wanted.keys(), (
        f"own_names: these do not meet: {sorted(theirs.keys() ^ wanted.keys())[:5]}"
    )
    other = [name for name in wanted if theirs[name].shape != wanted[name].shape]
    assert set(other) <= {published.stem}, f"own_names: other shapes: {other[:5]}"


@promise(ModelConfig)
def equal_identities_are_equal_networks(config: type[ModelConfig], **settings: Any) -> None:
    model = small(config, **settings)
    for name, other in variations(model):
        if model.identity() == other.identity():
            (one, images), (another, _) = _a_backbone(model), _a_backbone(other)
            with torch.no_grad():
                same = torch.equal(one.eval()(images), another.eval()(images))
            assert same, f"identity: {name} changes what is built, and is not in it"


@promise(ModelConfig)
def fine_tuning_goes_on_bit_for_bit(config: type[ModelConfig], **settings: Any) -> None:
    inputs = tiny_inputs(model=small(config, **settings))
    tuning = inputs.config.finetune.model_copy(update={"epochs": 3})
    inputs = tiny_inputs(model=inputs.config.model, finetune=tuning)
    if _build_or_refuse(inputs.config.model, inputs.data.channels, inputs.data.size) is not None:
        key = finetune_key(inputs.config, inputs.data, None, 0)
        assert_goes_on(finetune_stage(inputs, None, key), 1)


def _build_or_refuse(model: ModelConfig, channels: int, size: Size) -> Backbone | None:
    """None for a size that it refuses, by a UserError that names the field."""
    try:
        return model.build(channels, size)
    except UserError as error:
        _names_a_field(model, error)
        return None


def _names_a_field(model: ModelConfig, error: Exception) -> None:
    named = set(re.findall(r"model\.(\w+)", str(error))) & type(model).model_fields.keys()
    assert named, f"{type(error).__name__}: must name the field, as `model.name: ...` does: {error}"


def _a_backbone(model: ModelConfig, seed: int = 0) -> tuple[Backbone, Tensor]:
    """One that it does build, freshly initialised, and images for it."""
    for channels, size in reversed(SIZES):
        with seeded_initialisation("a backbone", seed):
            if (backbone := _build_or_refuse(model, channels, size)) is not None:
                return backbone, _images(4, channels, size)
    raise AssertionError(f"build: refuses every one of {SIZES}")


def _images(count: int, channels: int, size: Size) -> Tensor:
    seed = derive_seed("images", count, channels, size)
    return torch.rand(count, channels, *size, generator=generator(seed))
