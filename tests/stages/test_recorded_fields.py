"""What keys hold of a stage's optimisation: results that are stored must be met again."""

from collections.abc import Callable
from typing import Any

import pytest

from noisetune.config import TrialConfig
from noisetune.stages.finetune import finetune_key
from noisetune.stages.pretrain import pretrain_key

OPTIMISATION = {
    "batch_size", "lr", "momentum", "optimizer", "schedule", "warmup_epochs", "weight_decay",
}  # fmt: skip
SIMCLR = {"method", "temperature", "hidden", "projection", "batch_norm", "drop_last"}
CROSS_ENTROPY = {"method", "train", "epochs"}
ADDED = {"decay": "weights", "clip_norm": 1.0}


def held(config: TrialConfig) -> tuple[set[str], set[str]]:
    """The fields that the keys of both stages hold."""
    data = config.data.load()
    origin = pretrain_key(config, data)
    assert origin is not None
    tuning = finetune_key(config, data, origin, 2)
    return set(origin.inputs["pretrain"]), set(tuning.inputs["finetune"])


def test_keys_hold_the_fields_that_they_always_held(
    tiny_trial: Callable[..., TrialConfig],
) -> None:
    """A field that comes later must be `neutral`: with another key nothing stored would serve."""
    config = tiny_trial(pretrain={"method": "simclr"})
    assert held(config) == (OPTIMISATION | SIMCLR, OPTIMISATION | CROSS_ENTROPY)


def test_what_came_later_is_held_where_it_is_set(tiny_trial: Callable[..., TrialConfig]) -> None:
    config = tiny_trial(
        pretrain={"method": "simclr"} | ADDED, finetune=ADDED | {"layer_decay": 0.7}
    )
    before = held(tiny_trial(pretrain={"method": "simclr"}))
    more = [set(now) - known for now, known in zip(held(config), before, strict=True)]
    assert more == [set(ADDED), {*ADDED, "layer_decay"}]


@pytest.mark.parametrize("train", ["head", "probe"])
def test_layers_without_a_rate_are_in_no_key(
    tiny_trial: Callable[..., TrialConfig], train: str
) -> None:
    def tuning(**fields: Any) -> dict[str, Any]:
        return tiny_trial(finetune={"train": train} | fields).finetune.identity()

    assert tuning(layer_decay=0.7) == tuning()
