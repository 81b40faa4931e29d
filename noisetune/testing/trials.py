"""A trial in small around the plug-in that is looked at, and its stages."""

from functools import cache

import torch

from noisetune.config import PLUGINS, TrialConfig, default_choice
from noisetune.plugins import PluginConfig
from noisetune.stages.base import Checkpoint, Inputs, Stage, Start
from noisetune.stages.labels import draw_labels
from noisetune.store import Artifact
from noisetune.store.artifact import pack, unpack

IMAGES = 60
BITS = (
    "all state must be in weights and buffers, and nothing may be drawn from torch's own generator"
)


@cache
def _tiny() -> TrialConfig:
    """The default of everything, on a few images of the data set that noisetune brings along."""
    raw = {
        "data": {"train_samples": IMAGES, "test_samples": 30},
        "model": dict(PLUGINS["model"][default_choice("model")].smallest),
        "finetune": {"epochs": 2, "batch_size": 16},
        "runtime": {
            "device": "cpu",
            "precision": "fp32",
            "channels_last": False,
            "compile": False,
            "threads": 1,
        },
    }
    return TrialConfig.parse(raw, "a trial in small")


def tiny_inputs(**sections: PluginConfig) -> Inputs:
    """What the stages of a small trial read, with the plug-ins that are given in its sections."""
    # A plug-in need not be installed to be looked at: a copy is not validated.
    config = _tiny().model_copy(update=sections)
    data = config.data.load()
    return Inputs(config, data, draw_labels(config, data))


def checkpoints(stage: Stage, start: Start = None) -> dict[int, Artifact]:
    """What a stage keeps after each epoch, from a start on."""
    events = stage.compute(start, lambda step: True)
    return {each.step: each.artifact for each in events if isinstance(each, Checkpoint)}


def assert_goes_on(stage: Stage, *after: int) -> None:
    """Runs that go on from what was kept after so many epochs are the uninterrupted one."""
    with torch.random.fork_rng(devices=[]):
        whole = checkpoints(stage)
        for epochs in after:
            # What draws from the process's own generator, draws something else now.
            torch.manual_seed(epochs)
            rest = checkpoints(stage, (epochs, unpack(pack(whole[epochs]))))
            for step, made in rest.items():
                assert_same(made, whole[step], f"continued after {epochs} epochs, epoch {step}")


def assert_same(one: Artifact, other: Artifact, where: str) -> None:
    """Two artifacts are equal, bit for bit, and so are the values of their points."""
    assert one.tensors.keys() == other.tensors.keys(), (
        f"{where}: other tensors: {sorted(one.tensors.keys() ^ other.tensors.keys())}"
    )
    differ = [name for name, tensor in one.tensors.items() if not tensor.equal(other.tensors[name])]
    assert not differ, f"{where}: {', '.join(differ[:5])} differ; {BITS}"
    values = [[point["values"] for point in made.record["points"]] for made in (one, other)]
    assert values[0] == values[1], f"{where}: other metrics: {values[0]} and {values[1]}"
