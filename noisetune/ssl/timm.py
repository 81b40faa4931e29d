"""Timm: fine-tuning starts from weights that timm publishes for one of its networks."""

from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from noisetune.errors import UserError
from noisetune.models.base import ModelConfig, Size
from noisetune.models.timm import OWN, create, library
from noisetune.models.timm import Config as TimmModel
from noisetune.plugins import StandIn
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import GivenEncoder
from noisetune.store import StoreLike
from noisetune.training.weights import read_weights

SHOWN = 3
FILES = "model.safetensors", "pytorch_model.bin"


class Config(GivenEncoder):
    """The weights enter the backbone of `model: {name: timm}`, without their classifier.

    timm fits them to the images: kernels to their channels, a transformer's positions, which it
    interpolates, to their size.
    """

    method: Literal["timm"] = "timm"
    weights: str
    """What follows the point in a name of `timm.list_pretrained()`: `bt_in1k` in
    `resnet26d.bt_in1k`. They are fetched into the cache of Hugging Face."""
    path: Path | None = None
    """A file of these weights, instead of fetching them."""

    def check_model(self, model: ModelConfig) -> None:
        if not isinstance(model, TimmModel):
            raise ValueError(
                f"model.name: {model.name}: timm has no weights for it; set model.name: timm, or "
                "take another pretrain.method"
            )

    def encoder(
        self, model: ModelConfig, channels: int, size: Size, store: StoreLike
    ) -> dict[str, Tensor]:
        self._published(model)
        # Weights without a place, and a format that it does not know, timm leaves at random.
        state, other = (self._loaded(model, channels, size, seed) for seed in (0, 1))
        drawn = [name for name, tensor in state.items() if not tensor.equal(other[name])]
        if drawn:
            raise UserError(
                f"{self._source}: timm finds no {', '.join(drawn[:SHOWN])} of "
                f"{_architecture(model)} in it; give other pretrain.weights, or their file as "
                "pretrain.path"
            )
        return {OWN + name: tensor for name, tensor in state.items()}

    def is_here(self, model: ModelConfig) -> bool:
        return self.path is not None or _is_cached(self._published(model))

    def stand_in(self, model: ModelConfig, folder: Path) -> StandIn | None:
        if self.is_here(model):
            return None
        file = folder / f"{_architecture(model)}.safetensors"
        if not file.is_file():
            channels, *size = self._published(model).input_size
            with seeded_initialisation("made-up weights"):
                network = create(_architecture(model), channels, (size[0], size[1]))
            file.parent.mkdir(parents=True, exist_ok=True)
            safetensors.torch.save_file(network.state_dict(), file)
        why = f"{self.weights} weights are random: timm's are not in the cache"
        return StandIn({"path": str(file)}, why)

    @property
    def _source(self) -> str:
        return f"pretrain.{'weights' if self.path is None else 'path'}: {self.path or self.weights}"

    def _published(self, model: ModelConfig) -> Any:
        """What timm knows of these weights; UserError where it has none of the name."""
        timm, architecture = library(), _architecture(model)
        known = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
        if self.weights not in known:
            raise UserError(
                f"pretrain.weights: {self.weights!r}: timm {timm.__version__} has none of this "
                f"name for {architecture}; choose one of {', '.join(known) or 'another network'}"
            )
        return timm.get_pretrained_cfg(f"{architecture}.{self.weights}")

    def _loaded(
        self, model: ModelConfig, channels: int, size: Size, seed: int
    ) -> dict[str, Tensor]:
        """The state of a network that was drawn from a seed, with the weights in it."""
        given: dict[str, Any] = {"pretrained": True, "pretrained_cfg": self.weights}
        if self.path is not None:
            state = read_weights(self.path, "pretrain.path")
            given["pretrained_cfg_overlay"] = {"state_dict": state, "custom_load": False}
        try:
            with seeded_initialisation("timm", seed):
                network = create(_architecture(model), channels, size, **given)
        # Whatever the ways to fetch raise, and timm, where tensors have other shapes.
        except Exception as error:
            remedy = "fetch them where there is a network, and give the file as pretrain.path"
            raise UserError(
                f"{self._source}: cannot be read into {_architecture(model)} ({error}); "
                f"{remedy if self.path is None else 'give a file of timm'}"
            ) from error
        return network.state_dict()


def _architecture(model: ModelConfig) -> str:
    assert isinstance(model, TimmModel)
    return model.architecture


def _is_cached(published: Any) -> bool:
    """Whether a file of the weights lies where it would be fetched to."""
    from huggingface_hub import try_to_load_from_cache

    if published.hf_hub_id:
        files = (published.hf_hub_filename,) if published.hf_hub_filename else FILES
        found = (try_to_load_from_cache(published.hf_hub_id, name) for name in files)
        return any(isinstance(path, str) for path in found)
    name = str(published.url).rpartition("/")[2]
    return Path(torch.hub.get_dir(), "checkpoints", name).is_file()
