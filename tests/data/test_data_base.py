"""What every data set is checked and described by."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from noisetune.data.base import (
    ImageData,
    as_images,
    as_labels,
    channel_statistics,
    content_hash,
)
from noisetune.errors import UserError
from noisetune.training.augment import AugmentConfig


def toy() -> ImageData:
    pixels = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    labels = torch.tensor([0, 1])
    off = AugmentConfig()
    return ImageData(pixels, labels, pixels + 1, labels, ("a", "b"), (0,) * 3, (1,) * 3, off, off)


def test_its_sizes_come_from_the_images() -> None:
    data = toy()
    assert (data.classes, data.channels, data.size) == (2, 3, (4, 5))


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_the_fingerprint_reads_all_images_and_labels(name: str) -> None:
    data = toy()
    assert data.fingerprint == toy().fingerprint
    changed = getattr(data, name).clone()
    changed.view(-1)[0] += 1
    assert replace(data, **{name: changed}).fingerprint != data.fingerprint


def test_the_fingerprint_reads_how_many_classes_there_are() -> None:
    """The network's last layer has a row for each, also for one without an image."""
    more = replace(toy(), class_names=("a", "b", "c"))
    assert more.fingerprint != toy().fingerprint


def test_a_known_hash_is_of_its_very_tensor() -> None:
    data = toy()
    told = replace(data, known_hashes=((data.x_train, "told"),))
    assert told.train_images_hash == "told"
    assert replace(told, x_train=data.x_train[:1]).train_images_hash == content_hash(
        data.x_train[:1]
    )


def test_the_training_images_hash_reads_nothing_else() -> None:
    data = toy()
    other = replace(data, y_train=data.y_train + 1, x_test=data.x_test + 1, y_test=data.y_test + 1)
    assert other.train_images_hash == data.train_images_hash


def test_a_content_hash_tells_shapes_and_types_apart_but_not_memory_layouts() -> None:
    tensor = torch.arange(6, dtype=torch.uint8)
    different = [tensor, tensor.reshape(2, 3), tensor.reshape(3, 2), tensor.to(torch.int8)]
    assert len({content_hash(one) for one in different}) == len(different)
    assert content_hash(tensor.reshape(2, 3).T) == content_hash(tensor.reshape(2, 3).T.contiguous())


@given(
    images=hnp.arrays(
        np.uint8,
        st.tuples(st.integers(2, 5), st.sampled_from([1, 3]), st.integers(2, 4), st.just(2)),
    )
)
def test_channel_statistics_are_those_of_pixels_in_0_to_1(images: np.ndarray) -> None:
    mean, std = channel_statistics(torch.from_numpy(images))
    flat = images.transpose(1, 0, 2, 3).reshape(images.shape[1], -1) / 255
    np.testing.assert_allclose(mean, flat.mean(1), atol=1e-12)
    np.testing.assert_allclose(std, np.maximum(flat.std(1, ddof=1), 1e-3), atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 1), (2, 4, 5, 3)])
def test_images_become_channels_first(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    tensor = as_images(array, "x")
    channels = shape[3] if len(shape) == 4 else 1
    assert tensor.shape == (2, channels, 4, 5)
    assert tensor.is_contiguous()
    for channel in range(channels):
        assert np.array_equal(tensor[:, channel], array.reshape(2, 4, 5, -1)[..., channel])


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((2, 4, 4), np.float32), r"x: images are float32, they must be uint8"),
        (np.zeros((4, 4), np.uint8), r"x: shape \(4, 4\) is no stack of images"),
        (np.zeros((2, 3, 4, 4), np.uint8), r"x: shape \(2, 3, 4, 4\) is no stack of images"),
        (np.zeros((0, 4, 4), np.uint8), r"x: shape \(0, 4, 4, 1\) is no stack of images"),
    ],
)
def test_what_is_no_stack_of_images_is_a_user_error(array: np.ndarray, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        as_images(array, "x")


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, np.uint64])
def test_labels_of_any_integer_type_become_int64(kind: type[np.integer]) -> None:
    labels = as_labels(np.array([0, 2, 1], kind), 3, 3, "y")
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("labels", "classes", "problem"),
    [
        ([0.0, 1.0], 2, r"y: float64 of shape \(2,\); it must be one integer label for each of th"),
        ([True, False], 2, r"y: bool of shape \(2,\); it must be one integer label"),
        ([0, 1, 2], 3, r"y: int64 of shape \(3,\); it must be .* of the 2 images"),
        ([[0], [1]], 2, r"y: int64 of shape \(2, 1\); it must be one integer label"),
        ([0, 2], 2, r"y: labels span 0..2; they must be 0..1"),
        ([-1, 0], None, r"y: labels span -1..0; they must be 0 or more"),
    ],
)
def test_what_is_no_label_is_a_user_error(
    labels: list[object], classes: int | None, problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        as_labels(np.array(labels), 2, classes, "y")


def test_channel_statistics_do_not_depend_on_the_number_of_threads() -> None:
    images = torch.randint(0, 256, (2000, 3, 32, 32), dtype=torch.uint8)
    threads, found = torch.get_num_threads(), set()
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found.add(channel_statistics(images))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


@pytest.mark.parametrize("change", [{"class_names": ("b", "a")}, {"superclasses": (0, 0)}])
def test_what_some_noise_goes_by_is_in_the_fingerprint(change: dict[str, Any]) -> None:
    assert replace(toy(), **change).fingerprint != toy().fingerprint
