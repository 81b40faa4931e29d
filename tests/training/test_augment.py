"""Batched augmentation does to every sample what torchvision does to one image."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binomtest, ks_2samp
from torch import Tensor
from torchvision import transforms as T  # the classes whose get_params are static
from torchvision.transforms.v2 import functional as F

from noisetune.errors import UserError
from noisetune.training import augment_ops as ops
from noisetune.training.augment import Augment, AugmentConfig, Draws, normalise

TOLERANCE = 1e-4  # the promise is 1/255
SIMCLR = {
    "crop_scale": (0.2, 1.0),
    "flip": 0.5,
    "jitter": (0.8, 0.8, 0.8, 0.2),
    "grayscale": 0.2,
    "blur": 1.0,
}
CONFIGS = {
    "crop": {"crop_scale": (0.08, 1.0)},
    "crop and flip": {"crop_scale": (0.2, 0.6), "crop_ratio": (0.5, 2.0), "flip": 0.5},
    "pad": {"pad": 4},
    "pad and flip": {"pad": 2, "flip": 0.5},
    "flip": {"flip": 0.5},
    "brightness": {"jitter": (1.5, 0, 0, 0)},
    "contrast": {"jitter": (0, 0.9, 0, 0)},
    "saturation": {"jitter": (0, 0, 0.9, 0)},
    "hue": {"jitter": (0, 0, 0, 0.5), "jitter_probability": 1.0},
    "grayscale": {"grayscale": 0.5},
    "blur": {"blur": 0.5},
    "wide blur": {"blur": 1.0, "blur_kernel": 7, "blur_sigma": (0.5, 3.0)},
    "solarize": {"solarize": 0.5},
    "simclr": SIMCLR,
    "everything": SIMCLR | {"blur": 0.5, "solarize": 0.5},
}
SIZES = [(8, 8), (32, 32), (33, 47)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_images(count: int, size: tuple[int, int], channels: int = 3) -> Tensor:
    shape = (count, channels, *size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(1))


def reference(config: AugmentConfig, image: Tensor, row: Draws) -> Tensor:
    """One float image (C, H, W) through torchvision with the parameters of one row."""
    size = list(image.shape[1:])
    if row.box is not None:
        image = F.resized_crop(image, *row.box[0].tolist(), size, antialias=True)
    if row.offset is not None:
        image = F.crop(F.pad(image, [config.pad] * 4), *row.offset[0].tolist(), *size)
    if row.flip is not None and row.flip[0]:
        image = F.horizontal_flip(image)
    if row.jitter is not None:
        brightness, contrast, saturation, turn = row.jitter[0].tolist()
        image = F.adjust_contrast(F.adjust_brightness(image, brightness), contrast)
        image = F.adjust_hue(F.adjust_saturation(image, saturation), turn)
    if row.grayscale is not None and row.grayscale[0]:
        image = F.rgb_to_grayscale(image, num_output_channels=len(image))
    if row.sigma is not None and row.sigma[0] > 0:
        image = F.gaussian_blur(image, config.blur_kernel, row.sigma[0].item())
    if row.solarize is not None and row.solarize[0]:
        image = F.solarize(image, 0.5)
    return image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_operation_equals_torchvision(
    name: str, size: tuple[int, int], channels: int
) -> None:
    config = AugmentConfig.model_validate(CONFIGS[name])
    augment = Augment(config, size)
    images, draws = noise_images(16, size, channels), augment.sample(16, seeded())
    result = augment(images, draws)
    assert result.is_contiguous()
    assert result.dtype == torch.float32
    for i, image in enumerate(images):
        expected = reference(config, image / 255, draws[i : i + 1])
        assert (result[i] - expected).abs().max() <= TOLERANCE


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_crop_of_any_box_to_any_size_equals_torchvision(data: st.DataObject) -> None:
    """From 2 pixels on: torch 2.15 copies one row to all when width 1 is resized to width 1."""
    size = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    out = data.draw(st.tuples(st.integers(2, 40), st.integers(2, 40)))
    height, width = (data.draw(st.integers(1, limit)) for limit in size)
    top = data.draw(st.integers(0, size[0] - height))
    left = data.draw(st.integers(0, size[1] - width))
    flip = data.draw(st.booleans())
    image = noise_images(1, size)
    result = ops.separable(
        ops.to_planes(image),
        ops.crop_weights(torch.tensor([top]), torch.tensor([height]), size[0], out[0]),
        ops.crop_weights(
            torch.tensor([left]), torch.tensor([width]), size[1], out[1], torch.tensor([flip])
        ),
    )
    expected = F.resized_crop(image / 255, top, left, height, width, list(out), antialias=True)
    expected = F.horizontal_flip(expected) if flip else expected
    assert (result.transpose(0, 1) - expected).abs().max() <= TOLERANCE


def test_hue_of_pure_colours_greys_and_ties_equals_torchvision() -> None:
    levels = torch.tensor([0, 1, 128, 254, 255], dtype=torch.uint8)
    colours = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 5, 25)
    turns = torch.linspace(-0.5, 0.5, 25)
    result = ops.adjust_hue(ops.to_planes(colours.expand(25, -1, -1, -1)), turns)
    for i, turn in enumerate(turns.tolist()):
        expected = F.adjust_hue(colours[0] / 255, turn)
        assert (result[:, i] - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("config", [{}, {"flip": 0.5}, {"grayscale": 0.5}])
def test_normalisation_may_be_left_out(config: dict[str, float]) -> None:
    images, mean, std = noise_images(4, (8, 8)), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    plain = Augment(AugmentConfig(**config), (8, 8))
    off = Augment(AugmentConfig(**config, normalise=False), (8, 8), mean, std)
    assert (off.mean, off.std) == (None, None)
    assert torch.equal(
        off(images, off.sample(4, seeded())), plain(images, plain.sample(4, seeded()))
    )


@pytest.mark.parametrize("config", [{}, {"flip": 1.0}, {"grayscale": 1.0}])
def test_normalisation_comes_last(config: dict[str, float]) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    images, parsed = noise_images(4, (8, 8)), AugmentConfig.model_validate(config)
    plain, augment = Augment(parsed, (8, 8)), Augment(parsed, (8, 8), mean, std)
    draws = augment.sample(4, seeded())
    expected = F.normalize(plain(images, draws), list(mean), list(std))
    torch.testing.assert_close(augment(images, draws), expected)
    torch.testing.assert_close(
        normalise(images, mean, std), F.normalize(images / 255, list(mean), list(std))
    )


def test_a_disabled_augmentation_is_the_identity_and_draws_nothing() -> None:
    augment, generator = Augment(AugmentConfig(), (33, 47)), seeded()
    images, before = noise_images(5, (33, 47)), generator.get_state()
    draws = augment.sample(5, generator)
    assert torch.equal(augment(images, draws), images / 255)
    assert torch.equal(generator.get_state(), before)
    assert len(draws) == 5


@pytest.mark.parametrize("size", [(8, 8), (33, 47)])
@pytest.mark.parametrize("batch", [1, 3, 32])
def test_the_batch_size_changes_no_bit(size: tuple[int, int], batch: int) -> None:
    augment = Augment(AugmentConfig.model_validate(CONFIGS["everything"]), size)
    images, draws = noise_images(64, size), augment.sample(64, seeded())
    parts = torch.arange(64).split(batch)
    assert torch.equal(
        torch.cat([augment(images[part], draws[part]) for part in parts]), augment(images, draws)
    )


def test_draws_depend_on_the_generator_and_the_row_alone() -> None:
    augment, generator = Augment(AugmentConfig.model_validate(SIMCLR), (32, 32)), seeded()
    whole, parts = augment.sample(50, seeded()), [augment.sample(25, generator) for _ in range(2)]
    for name in ("box", "flip", "jitter", "grayscale", "sigma"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts]))
        assert torch.equal(getattr(whole[:7], name), getattr(augment.sample(7, seeded()), name))


def test_equal_images_of_a_batch_get_different_views() -> None:
    augment = Augment(AugmentConfig.model_validate(SIMCLR), (32, 32))
    images = noise_images(1, (32, 32)).expand(8, -1, -1, -1)
    views = augment(images, augment.sample(8, seeded()))
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8


def test_autocast_does_not_touch_the_pixels() -> None:
    augment = Augment(AugmentConfig.model_validate(SIMCLR), (32, 32))
    images, draws = noise_images(4, (32, 32)), augment.sample(4, seeded())
    with torch.autocast("cpu", torch.bfloat16):
        result = augment(images, draws)
    assert torch.equal(result, augment(images, draws))


@pytest.fixture
def _global_seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


COUNT = 10_000


def same_distribution(ours: Tensor, draw_theirs: Callable[[], object]) -> None:
    theirs = torch.tensor([draw_theirs() for _ in range(COUNT)], dtype=torch.float64)
    for mine, other in zip(ours.view(COUNT, -1).T, theirs.view(COUNT, -1).T, strict=True):
        assert ks_2samp(mine.double(), other, method="asymp").pvalue > 0.01


@pytest.mark.usefixtures("_global_seed")
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (40, 8)])
def test_boxes_are_distributed_like_torchvisions(size: tuple[int, int]) -> None:
    """On the narrow image many attempts fail and the central fallback takes part."""
    config, image = AugmentConfig(crop_scale=(0.2, 1.0)), torch.empty(3, *size)
    box = Augment(config, size).sample(COUNT, seeded()).box
    assert box is not None
    assert ((box[:, :2] + box[:, 2:]) <= torch.tensor(size)).all()
    scale, ratio = [0.2, 1.0], [3 / 4, 4 / 3]
    same_distribution(box, lambda: T.RandomResizedCrop.get_params(image, scale, ratio))


@pytest.mark.usefixtures("_global_seed")
def test_other_parameters_are_distributed_like_torchvisions() -> None:
    config = AugmentConfig(pad=4, jitter=(0.4, 0.8, 1.6, 0.2), jitter_probability=1.0, blur=1.0)
    draws = Augment(config, (32, 32)).sample(COUNT, seeded())
    assert draws.offset is not None
    assert draws.jitter is not None
    assert draws.sigma is not None
    ranges = (0.6, 1.4), (0.2, 1.8), (0.0, 2.6), (-0.2, 0.2)
    padded = torch.empty(3, 40, 40)
    same_distribution(draws.offset, lambda: T.RandomCrop.get_params(padded, (32, 32))[:2])
    same_distribution(draws.jitter, lambda: T.ColorJitter.get_params(*map(list, ranges))[1:])
    same_distribution(draws.sigma, lambda: T.GaussianBlur.get_params(0.1, 2.0))


def test_each_operation_takes_its_share_of_the_samples() -> None:
    config = AugmentConfig(flip=0.5, jitter=(0.4, 0, 0, 0), grayscale=0.2, blur=0.3, solarize=0.1)
    draws = Augment(config, (32, 32)).sample(COUNT, seeded())
    assert draws.jitter is not None
    assert draws.sigma is not None
    chosen = {0.5: draws.flip, 0.8: draws.jitter[:, 0] != 1, 0.2: draws.grayscale}
    chosen |= {0.3: draws.sigma > 0, 0.1: draws.solarize}
    for probability, mask in chosen.items():
        assert mask is not None
        assert binomtest(int(mask.sum()), COUNT, probability).pvalue > 0.01


@pytest.mark.parametrize(
    "values",
    [
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.9, 0.2)},
        {"crop_ratio": (0.0, 1.0)},
        {"pad": -1},
        {"pad": 4, "crop_scale": (0.2, 1.0)},
        {"flip": 1.1},
        {"jitter": (0.4, -0.1, 0.4, 0.1)},
        {"jitter": (0.4, 0.4, 0.4, 0.6)},
        {"blur_kernel": 4},
        {"blur_sigma": (0.0, 1.0)},
        {"solarise": 0.5},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AugmentConfig.model_validate(values)


def test_what_does_not_fit_the_images_is_refused() -> None:
    with pytest.raises(UserError, match="blur_kernel: 17 is too wide"):
        Augment(AugmentConfig(blur=1.0, blur_kernel=17), (8, 32))
    with pytest.raises(UserError, match="give both"):
        Augment(AugmentConfig(), (8, 8), mean=(0.5,))
    with pytest.raises(UserError, match="not above 0"):
        Augment(AugmentConfig(), (8, 8), mean=(0.5,), std=(0.0,))
    augment = Augment(AugmentConfig(), (8, 8))
    with pytest.raises(ValueError, match="expected uint8"):
        augment(noise_images(2, (9, 9)), augment.sample(2, seeded()))
    with pytest.raises(ValueError, match="3 rows of draws for 2 images"):
        augment(noise_images(2, (8, 8)), augment.sample(3, seeded()))
    with pytest.raises(ValueError, match="1 means for images of 3 channels"):
        normalise(noise_images(2, (8, 8)), (0.5,), (0.5,))


def test_draws_are_cut_into_batches_in_turn() -> None:
    draws = Augment(AugmentConfig(**SIMCLR), (8, 8)).sample(7, seeded())
    parts = draws.split([3, 2, 2])
    assert [part.row.tolist() for part in parts] == [[0, 1, 2], [3, 4], [5, 6]]
    assert torch.equal(torch.cat([part.box for part in parts]), draws.box)
