"""Layers of a backbone learn slower the further they are below the head."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from noisetune.config import PLUGINS
from noisetune.finetuning.cross_entropy import Config
from noisetune.models._resnet import ResNet
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.testing.trials import checkpoints, tiny_inputs

A_STEP = {"epochs": 2, "batch_size": 60, "optimizer": "sgd", "lr": 1.0, "momentum": 0.0}
"""Of each epoch."""
PARTS = ["stem", "stages.0", "stages.1", "stages.2", "stages.3"]


def test_rates_fall_from_the_head_down_to_the_input() -> None:
    layers = [[nn.Parameter(torch.zeros(2)) for _ in range(count)] for count in (1, 3, 2)]
    scales = Config(layer_decay=0.5).scales(layers)
    assert [[scales[weight] for weight in layer] for layer in layers] == [
        [0.125],
        [0.25] * 3,
        [0.5] * 2,
    ]


@pytest.mark.parametrize("fields", [{}, {"train": "head"}, {"train": "probe"}])
def test_without_layers_that_learn_at_rates_of_their_own_there_are_none(
    fields: dict[str, str],
) -> None:
    decay = 0.5 if fields else 1.0
    assert Config(layer_decay=decay, **fields).scales([[nn.Parameter(torch.zeros(2))]]) == {}


@pytest.mark.parametrize("wrong", [0.0, -0.5, 1.1])
def test_a_rate_never_rises_on_the_way_down(wrong: float) -> None:
    with pytest.raises(ValueError, match="layer_decay"):
        Config(layer_decay=wrong)


@pytest.fixture
def layered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A residual network says that its stem and its stages are layers: five."""

    def by_depth(self: ResNet) -> list[list[nn.Parameter]]:
        return [list(part.parameters()) for part in (self.stem, *self.stages)]

    monkeypatch.setattr(ResNet, "by_depth", by_depth)


def after_a_step(method: str, **fields: Any) -> dict[str, Tensor]:
    """The weights of all networks, which begin as the same in every run."""
    inputs = tiny_inputs(finetune=PLUGINS["finetune"][method](**A_STEP | fields))
    key = finetune_key(inputs.config, inputs.data, None, 0)
    tensors = checkpoints(finetune_stage(inputs, None, key))[1].tensors
    networks = [name for name in tensors if name.startswith("network")]
    return {name: tensors[name] for name in networks if name.endswith(("weight", "bias"))}


@pytest.mark.usefixtures("layered")
@pytest.mark.parametrize(
    ("method", "head"),
    [("cross_entropy", "linear"), ("cross_entropy", "mlp"), ("coteaching", "mlp")],
)
def test_a_layers_step_is_smaller_by_its_depth(method: str, head: str) -> None:
    """Of the first step, whose gradients are the same; in every network."""
    begun = after_a_step(method, head=head, lr=1e-30)
    whole, ours = (after_a_step(method, head=head, layer_decay=decay) for decay in (1.0, 0.5))
    assert len({name.split(".")[0] for name in ours}) == (2 if method == "coteaching" else 1)
    for name, weight in ours.items():
        part = name.partition(".backbone.")[2]
        depth = next((5 - n for n, each in enumerate(PARTS) if part.startswith(each)), 0)
        assert (depth == 0) == (".head." in name)
        torch.testing.assert_close(
            weight - begun[name], 0.5**depth * (whole[name] - begun[name]), rtol=1e-4, atol=1e-6
        )


@pytest.mark.usefixtures("layered")
@pytest.mark.parametrize("train", ["head", "probe_then_tune"])
def test_a_frozen_backbone_stays(train: str) -> None:
    fields = {"train": train, "probe_epochs": 1}
    frozen, begun = (
        after_a_step("cross_entropy", **fields, **more)
        for more in (
            {"layer_decay": 0.5},
            {"lr": 1e-30},
        )
    )
    moved = {name.split(".")[1] for name in frozen if not frozen[name].equal(begun[name])}
    assert moved == {"head"}
