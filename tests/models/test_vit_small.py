"""The small vision transformer: the tiny one, twice as wide."""

from noisetune.models.vit_small import Config
from noisetune.models.vit_tiny import Config as Tiny


def test_it_is_the_small_one() -> None:
    """DeiT-S: 22.05 million weights with a classifier of 1000 classes."""
    state = Config(patch=16).state(3, (224, 224))
    assert sum(tensor.numel() for tensor in state.values()) + 384 * 1000 + 1000 == 22_050_664
    backbone = Config(depth=1).build(1, (8, 8))
    assert backbone.feature_dim == 384
    assert backbone.blocks[0].attention.heads == 6


def test_it_takes_the_settings_of_the_tiny_one() -> None:
    assert Config().model_dump(exclude={"name"}) == Tiny().model_dump(exclude={"name"})


def test_layers_are_what_makes_tokens_and_each_block_with_the_norm_after_the_last() -> None:
    backbone = Config(depth=3).build(1, (8, 8))
    first, *blocks = backbone.by_depth()
    assert {id(each) for each in first} >= {id(backbone.class_token), id(backbone.positions)}
    assert [len(layer) for layer in (first, *blocks)] == [4, 12, 12, 14]
