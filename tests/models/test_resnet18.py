import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision.models import resnet18

from noisetune.models.resnet18 import Config


def test_it_is_torchvisions_resnet18_with_the_small_image_stem() -> None:
    reference = resnet18()
    reference.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    reference.maxpool = reference.fc = nn.Identity()
    ours = Config().build(3, (32, 32))
    weights = zip(ours.state_dict(), reference.state_dict().values(), strict=True)
    ours.load_state_dict(dict(weights))
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


def test_with_the_large_stem_it_is_torchvisions_resnet18() -> None:
    reference = resnet18()
    reference.fc = nn.Identity()
    ours = Config(stem="large").build(3, (32, 32))
    weights = zip(ours.state_dict(), reference.state_dict().values(), strict=True)
    ours.load_state_dict(dict(weights))
    images = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


def test_features_are_eight_widths() -> None:
    assert Config(width=16).build(1, (8, 8)).feature_dim == 128


def test_convolutions_start_by_kaiming_fan_out() -> None:
    torch.manual_seed(0)
    backbone = Config(width=32).build(3, (32, 32))
    layers = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        fan_out = layer.out_channels * layer.kernel_size[0] ** 2
        assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
    assert len(layers) == 20


@pytest.mark.parametrize("width", [3, 513, 4.5])
def test_a_width_out_of_range_is_refused(width: float) -> None:
    with pytest.raises(ValidationError, match="width"):
        Config(width=width)
