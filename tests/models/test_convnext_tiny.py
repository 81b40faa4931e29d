"""ConvNeXt-T against torchvision's, and what it says of small images."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from noisetune.errors import UserError
from noisetune.models.base import Backbone
from noisetune.models.convnext_tiny import STEM, Config
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.imagenet import Config as ImageNet
from noisetune.store import NullStore
from noisetune.testing import promises
from noisetune.testing.promises import Check
from noisetune.training.optimisation import undecayed
from noisetune.training.runtime import Runtime


@pytest.fixture(scope="module")
def theirs() -> torchvision.models.ConvNeXt:
    """torchvision's network, whose blocks count: published layer scales are not near zero."""
    with seeded_initialisation("convnext"):
        network = torchvision.models.convnext_tiny(weights=None).eval()
        for name, weight in network.named_parameters():
            if "layer_scale" in name:
                nn.init.uniform_(weight, 0.1, 0.5)
    return network


def given(theirs: nn.Module, folder: Path, patch: int) -> dict[str, Tensor]:
    """Its weights as `pretrain: {method: imagenet}` reads them, by torchvision's names."""
    torch.save(theirs.state_dict(), folder / "theirs.pth")
    method = ImageNet(path=folder / "theirs.pth")
    return method.encoder(Config(patch=patch), 3, (32, 32), NullStore())


def loaded(weights: dict[str, Tensor], patch: int) -> Backbone:
    ours = Config(patch=patch).build(3, (32, 32)).eval()
    ours.load_state_dict(weights)
    return ours


def features(theirs: torchvision.models.ConvNeXt, images: Tensor) -> Tensor:
    """What torchvision's classifier reads."""
    planes = theirs.avgpool(theirs.features(images))
    return theirs.classifier[1](theirs.classifier[0](planes))


def test_with_patches_of_four_it_is_torchvisions_network(
    theirs: torchvision.models.ConvNeXt, tmp_path: Path
) -> None:
    ours, images = loaded(given(theirs, tmp_path, 4), 4), torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), features(theirs, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("patch", [1, 2])
def test_smaller_patches_answer_as_the_original_to_the_enlarged_image(
    theirs: torchvision.models.ConvNeXt, tmp_path: Path, patch: int
) -> None:
    """An image of repeated pixels: its original patches are those of the small one."""
    ours, images = loaded(given(theirs, tmp_path, patch), patch), torch.rand(2, 3, 32, 32)
    images = images[..., : 8 * patch, : 8 * patch]
    enlarged = images.repeat_interleave(4 // patch, 2).repeat_interleave(4 // patch, 3)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), features(theirs, enlarged), rtol=1e-4, atol=1e-4)


def test_its_weights_are_those_that_torchvision_publishes() -> None:
    published = Config().published()
    assert published.weights is torchvision.models.ConvNeXt_Tiny_Weights
    assert Config(patch=2).state(3, (32, 32))[STEM].shape == (96, 3, 2, 2)
    with pytest.raises(ValueError, match=r"model\.width: 64: .* width 96 alone"):
        Config(width=64).published()


def test_it_is_the_tiny_one() -> None:
    """28.6 million weights with a classifier of 1000 classes, 4.5 billion multiply-adds at 224."""
    state = Config(patch=4).state(3, (224, 224))
    assert sum(tensor.numel() for tensor in state.values()) + 768 * 1000 + 1000 == 28_589_128


@pytest.mark.parametrize("size", [(8, 8), (15, 40), (7, 7)])
def test_images_that_nothing_would_be_left_of_are_refused(size: tuple[int, int]) -> None:
    remedy = "data.size: 8" if min(size) < 8 else "model.patch: 1"
    with pytest.raises(
        UserError, match=rf"^model.patch: 2: .* {size[0]}x{size[1]} .* set {remedy}"
    ):
        Config(width=4).build(3, size)


def test_the_fewest_pixels_that_it_takes_leave_one() -> None:
    for patch in (1, 2, 3, 4):
        backbone = Config(width=4, patch=patch).build(1, (8 * patch, 8 * patch)).eval()
        images = torch.rand(2, 1, 8 * patch, 8 * patch)
        assert backbone.features(images).shape == (2, 32, 1, 1)
        assert backbone(images).shape == (2, backbone.feature_dim)


def test_layers_are_the_stem_and_the_blocks() -> None:
    """The first block of a stage has the normalisation and the convolution before it, the last one
    the normalisation after it."""
    later = [13, *[9] * 8], [13, 9, 11]
    layers = Config(width=4).build(1, (16, 16)).by_depth()
    assert [len(layer) for layer in layers] == [4, 9, 9, 9, 13, 9, 9, *later[0], *later[1]]


def test_the_scales_of_its_branches_do_not_decay_where_weights_alone_do() -> None:
    backbone = Config(width=4).build(1, (16, 16))
    scales = [each for name, each in backbone.named_parameters() if name.endswith("layer_scale")]
    assert len(scales) == 18
    assert set(scales) <= undecayed(backbone)


@pytest.mark.long
@pytest.mark.parametrize("promise", promises(Config))
def test_on_the_smallest_images_it_keeps_its_promises(promise: Check) -> None:
    promise(Config, patch=1)


def gradients(runtime: Runtime) -> list[Tensor]:
    with seeded_initialisation("convnext"):
        backbone = runtime.place(Config(width=8, patch=1).build(3, (8, 8)))
    for name, weight in backbone.named_parameters():
        if "layer_scale" in name:
            nn.init.constant_(weight, 0.5)
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with runtime.autocast():
        features = backbone(runtime.arrange(images))
    # Not of all of them: the last normalisation leaves the sum of their squares no gradient.
    features.float()[:, ::3].square().sum().backward()
    return [weight.grad for weight in backbone.parameters() if weight.grad is not None]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_and_memory_format_change_rounding_alone(precision: str) -> None:
    plain, other = (
        gradients(Runtime(device="cpu", precision=chosen, channels_last=last))
        for chosen, last in (("fp32", False), (precision, True))
    )
    tolerance = 1e-4 if precision == "fp32" else 0.1
    for wanted, got in zip(plain, other, strict=True):
        assert (got - wanted).norm() <= tolerance * wanted.norm() + 1e-5
