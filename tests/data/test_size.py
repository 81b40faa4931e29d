"""Images brought to another size, whatever the data set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydantic import ValidationError

from noisetune.caches import nothing_kept
from noisetune.config import TrialConfig
from noisetune.data import _decoding, _image_cache, cifar10, npz
from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL, in_proportion
from noisetune.data._image_cache import resized_images
from noisetune.data.base import DataConfig, content_hash
from noisetune.data.digits import Config as Digits
from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.stages.pretrain import pretrain_key
from noisetune.store import NullStore
from noisetune.training.augment import Augment

FEW = {"train_samples": 12, "test_samples": 4}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def resized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images are resized from here on, one entry each."""
    calls, whole = list[int](), _decoding._fitted
    monkeypatch.setattr(_decoding, "_fitted", lambda *a: (calls.append(1), whole(*a))[1])
    return calls


def colours(tmp_path: Path) -> npz.Config:
    """Twelve and four colour images of 20x10."""
    random = np.random.default_rng(0)
    arrays = {
        name: random.integers(0, 256, (count, 20, 10, 3), dtype=np.uint8)
        for name, count in (("x_train", 12), ("x_test", 4))
    }
    np.savez(tmp_path / "x.npz", **arrays, y_train=np.arange(12) % 2, y_test=np.arange(4) % 2)
    return npz.Config(path=tmp_path / "x.npz")


@pytest.mark.parametrize("size", [(16, 16), (9, 31), (40, 8)])
@pytest.mark.parametrize("grey", [True, False])
def test_each_image_is_what_pillow_makes_of_it(tmp_path: Path, size: Any, grey: bool) -> None:
    config: DataConfig = Digits(**FEW) if grey else colours(tmp_path)
    before = config.load()
    data = config.model_copy(update={"size": size}).load()
    assert (data.size, data.channels) == (size, before.channels)
    for images, made in ((before.x_train, data.x_train), (before.x_test, data.x_test)):
        for image, found in zip(images.numpy(), made.numpy(), strict=True):
            plain = image[0] if grey else image.transpose(1, 2, 0)
            fitted = ImageOps.fit(Image.fromarray(plain), size[::-1], Image.Resampling.BILINEAR)
            assert np.array_equal(np.atleast_3d(np.asarray(fitted)).transpose(2, 0, 1), found)


def test_all_else_stays_as_it_was() -> None:
    before, data = Digits(**FEW).load(), Digits(size=16, **FEW).load()
    for name in ("y_train", "y_test"):
        assert torch.equal(getattr(before, name), getattr(data, name))
    assert (before.mean, before.std) == (data.mean, data.std)
    assert before.class_names == data.class_names


def test_the_size_is_in_fingerprint_and_keys(tiny_trial: Callable[..., TrialConfig]) -> None:
    sizes = (None, (8, 8), (16, 16), (8, 32), (32, 8))
    found = [Digits(size=size, **FEW).load() for size in sizes]
    trial = tiny_trial(data={"name": "digits", **FEW})
    assert len({data.fingerprint for data in found}) == 4
    assert found[0].fingerprint == found[1].fingerprint
    assert len({pretrain_key(trial, data).digest for data in found}) == 4
    for data in found:
        assert data.train_images_hash == content_hash(data.x_train)
        assert data.test_images_hash == content_hash(data.x_test)


def test_images_of_other_shapes_with_equal_bytes_are_other_images() -> None:
    bytes_ = torch.arange(64, dtype=torch.uint8)
    for shape in ((1, 1, 8, 8), (1, 1, 4, 16)):
        images = bytes_.reshape(shape)
        expected = _decoding._fitted(
            Image.fromarray(images[0, 0].numpy()), _decoding.Form(16, 16, 1)
        )
        assert np.array_equal(resized_images(images, (16, 16)).images[0], expected)


def test_images_are_resized_once_and_mapped_from_then_on(resized: list[int], cache: Path) -> None:
    first = Digits(size=16, **FEW).load()
    assert len(resized) == 16
    again = Digits(size=16, **FEW).load()
    assert len(resized) == 16
    assert torch.equal(first.x_train, again.x_train)
    assert not again.x_train.numpy().flags.owndata
    assert len(list(cache.glob("v*"))) == 2


def test_a_damaged_entry_is_made_again(cache: Path) -> None:
    before = Digits(size=16, **FEW).load().x_train.clone()
    for entry in cache.glob("v*"):
        (entry / "images.npy").write_bytes(b"")
    assert torch.equal(Digits(size=16, **FEW).load().x_train, before)


def test_where_nothing_is_kept_the_cache_stays_empty(cache: Path) -> None:
    with nothing_kept():
        assert Digits(size=16, **FEW).load().size == (16, 16)
    assert not cache.exists()


def test_a_full_disk_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_image_cache.shutil, "disk_usage", lambda _: type("", (), {"free": 9}))
    with pytest.raises(UserError, match=r"data.size: the resized images .* set NOISETUNE_CACHE to"):
        Digits(size=16, **FEW).load()


@pytest.mark.parametrize(
    ("size", "times", "most"),
    [((64, 64), None, None), ((65, 8), "8.12", "64x64"), ((224, 224), "28", "64x64")],
)
def test_images_are_enlarged_8_times_at_most(size: Any, times: str, most: str) -> None:
    config = Digits(size=size, **FEW)
    if times is None:
        assert config.load().size == size
        return
    said = rf"data.size: {size[0]}x{size[1]} would enlarge .* of 8x8 pixels .* {times} times, and 8"
    with pytest.raises(UserError, match=rf"{said} times is the most; choose {most} or less"):
        config.load()


def test_what_is_too_large_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    config = cifar10.Config(root=tmp_path / "none", size=257)
    with pytest.raises(UserError, match=r"data.size: 257x257 .* choose 256x256 or less"):
        config.load()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [7, 5000, [16], [16, 16, 16], "16x16", 16.5, [True, True]])
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(ValidationError, match="size"):
        Digits(size=size)


def test_what_was_not_fetched_has_the_size_too(tmp_path: Path, resized: list[int]) -> None:
    config = cifar10.Config(root=tmp_path / "none", size=224)
    data, other = config.facts(), config.model_copy(update={"size": (64, 64)}).facts()
    assert (data.shape, len(data.x_train), data.seen) == ((3, 224, 224), 50_000, False)
    plain = config.model_copy(update={"size": None}).facts()
    assert len({each.fingerprint for each in (data, other, plain)}) == 3
    assert (config.here(), resized) == (None, [])
    assert config.stand_in() is not None


@given(factor=st.floats(0.25, 8), augment=st.sampled_from([SMALL_SSL, SMALL_FINETUNE]))
def test_views_are_as_large_in_proportion(factor: float, augment: Any) -> None:
    made = in_proportion(augment, factor)
    side = max(8, round(32 * factor))
    assert made.pad == round(factor * augment.pad)
    assert made.crop_scale == augment.crop_scale
    assert abs(made.blur_kernel - factor * augment.blur_kernel) <= 1.5
    assert type(augment).model_validate(made.model_dump()) == made
    Augment(made, (side, side))


def test_a_larger_view_is_a_view_made_larger() -> None:
    """The corner that a padded crop cuts off is as large a share of the image."""
    made = in_proportion(SMALL_FINETUNE, 7)
    assert (made.pad / 224, made.flip) == (SMALL_FINETUNE.pad / 32, SMALL_FINETUNE.flip)


def test_a_trial_runs_at_another_size(tiny_trial: Callable[..., TrialConfig], drive: Any) -> None:
    data = {"name": "digits", "size": [16, 12], "train_samples": 60, "test_samples": 20}
    points, result = drive(run_trial(tiny_trial(data=data), NullStore()))
    assert points
    assert result.config["data"]["size"] == [16, 12]
