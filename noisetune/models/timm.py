"""Networks of timm, PyTorch Image Models (Wightman 2019), by their names there."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from noisetune.errors import UserError
from noisetune.models.base import Backbone, ModelConfig, Published, Size

OWN = "network."


class Config(ModelConfig):
    """Any network of timm without its classifier; needs `pip install 'noisetune[timm]'`.

    It begins at random and nothing is fetched: weights are given by `pretrain`, as to any other
    backbone. Dropout and stochastic depth, which some have by themselves, are off.
    """

    name: Literal["timm"] = "timm"
    architecture: str
    """As `timm.list_models()` names it, such as `resnet26d`, without the name of its weights."""

    def build(self, channels: int, size: Size) -> Backbone:
        width = feature_dim(self.architecture, channels, size)
        return Network(create(self.architecture, channels, size), width)

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Also timm's, whose classifier is left out."""
        if any(name.startswith(OWN) for name in state):
            return dict(state)
        left_out = _classifier(self.architecture)
        return {
            OWN + name: tensor
            for name, tensor in state.items()
            if name.rpartition(".")[0] not in left_out
        }

    def published(self) -> Published:
        raise ValueError(
            "model.name: timm: torchvision has no weights for it; set pretrain.method: timm, for "
            "those that timm has"
        )


class Network(Backbone):
    """A network of timm that puts out `feature_dim` features, as a backbone."""

    def __init__(self, network: nn.Module, feature_dim: int) -> None:
        super().__init__()
        self.network, self.feature_dim = network, feature_dim
        # timm's own list; some of it may not be there.
        spared: set[str] = getattr(network, "no_weight_decay", set)()
        known = dict(network.named_parameters())
        self.undecayed = tuple(OWN + name for name in sorted(spared) if name in known)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def by_depth(self) -> list[list[nn.Parameter]]:
        """As timm groups them for its own decay by layers; one layer where it does not."""
        matcher = getattr(self.network, "group_matcher", None)
        if matcher is None:
            return super().by_depth()
        grouped = library().models.group_parameters(
            self.network, matcher(coarse=False), return_values=True
        )
        return [grouped[number] for number in sorted(grouped)]


def library() -> Any:
    """The package, imported by whoever uses it; UserError where it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"model.name: timm: its package cannot be imported ({error}); pip install "
            "'noisetune[timm]', or take another backbone"
        ) from error
    return timm


def create(architecture: str, channels: int, size: Size, **weights: Any) -> nn.Module:
    """timm's network for images (C, H, W), without its classifier; `weights` are timm's words for
    those that it begins with. UserError, naming the field, for a name that it does not have."""
    timm = library()
    _check_name(timm, architecture)
    fixed = timm.get_pretrained_cfg(architecture).fixed_input_size
    shape = {"in_chans": channels} | ({"img_size": size} if fixed else {})
    network = timm.create_model(architecture, num_classes=0, **shape, **weights)
    for module in network.modules():
        # They would draw from torch's own generator, which no checkpoint keeps.
        if isinstance(module, timm.layers.DropPath):
            module.drop_prob = 0.0
        elif isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return network


@lru_cache
def feature_dim(architecture: str, channels: int, size: Size) -> int:
    """How many features it has; UserError where it does not take such images. Nothing is
    computed."""
    try:
        with torch.device("meta"), torch.no_grad():
            network = create(architecture, channels, size)
            features = network(torch.empty(2, channels, *size))
    except UserError:
        raise
    # Whatever some network says of images that are too small for it.
    except Exception as error:
        raise _refused(architecture, size, str(error).partition("\n")[0]) from error
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise _refused(architecture, size, "it gives no vector for each of them")
    return features.shape[1]


def _refused(architecture: str, size: Size, reason: str) -> UserError:
    return UserError(
        f"model.architecture: {architecture}: does not take images of {size[0]}x{size[1]} pixels "
        f"({reason}); set data.size, or take another one"
    )


def _check_name(timm: Any, architecture: str) -> None:
    names = timm.list_models()
    if architecture in names:
        return
    plain, _, weights = architecture.partition(".")
    if weights and plain in names:
        raise UserError(
            f"model.architecture: {architecture}: .{weights} names weights; write {plain} here, "
            f"and pretrain: {{method: timm, weights: {weights}}} for them"
        )
    near = ", ".join(get_close_matches(architecture, names, cutoff=0.3))
    raise UserError(
        f"model.architecture: {architecture!r}: timm {timm.__version__} has no network of this "
        f"name; timm.list_models() has them all, near it are {near or 'none'}"
    )


def _classifier(architecture: str) -> tuple[str, ...]:
    """The names of the layers that make logits."""
    timm = library()
    _check_name(timm, architecture)
    names = timm.get_pretrained_cfg(architecture).classifier or ()
    return (names,) if isinstance(names, str) else tuple(names)
