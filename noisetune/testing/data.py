"""What every data set promises."""

from typing import Any

import torch

from noisetune.data.base import DataConfig, ImageData
from noisetune.errors import UserError
from noisetune.testing.promises import NeedsSettingsError, promise, small
from noisetune.training.augment import Augment, AugmentConfig

FEW = {"train_samples": 40, "test_samples": 20}


@promise(DataConfig)
def images_are_uint8_in_memory_and_labels_are_classes(
    config: type[DataConfig], **settings: Any
) -> None:
    data = load(config, **settings)
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert images.dtype == torch.uint8, f"images: {images.dtype}, they must be uint8"
        assert images.shape == (len(labels), data.channels, *data.size), f"images: {images.shape}"
        assert labels.dtype == torch.int64, f"labels: {labels.dtype}, they must be int64"
        assert 0 <= labels.min() <= labels.max() < data.classes, (
            f"labels: {labels.min()}..{labels.max()} of {data.classes} classes"
        )


@promise(DataConfig)
def mean_and_deviation_are_per_channel_in_pixel_units(
    config: type[DataConfig], **settings: Any
) -> None:
    data = load(config, **settings)
    assert len(data.mean) == len(data.std) == data.channels, "mean, std: one for each channel"
    assert all(0 <= mean <= 1 for mean in data.mean), f"mean: {data.mean}, of [0, 1] pixels"
    assert all(0 < std <= 1 for std in data.std), f"std: {data.std}, of [0, 1] pixels"


@promise(DataConfig)
def loading_again_gives_the_same(config: type[DataConfig], **settings: Any) -> None:
    first, second = (load(config, **settings).fingerprint for _ in range(2))
    assert first == second, "load: other content at the second time"


@promise(DataConfig)
def fewer_samples_are_the_first_ones(config: type[DataConfig], **settings: Any) -> None:
    whole = load(config, **settings)
    data = load(config, **(settings | {"train_samples": 5, "test_samples": 3}))
    for name, count in (("train", 5), ("test", 3)):
        for kind in ("x", "y"):
            first = getattr(whole, f"{kind}_{name}")[:count]
            same = torch.equal(getattr(data, f"{kind}_{name}"), first)
            assert same, f"{name}_samples: {kind}_{name} are not the first {count}"
    assert data.class_names == whole.class_names, "class_names hang on the number of samples"


@promise(DataConfig)
def drawn_samples_are_a_part_of_more(config: type[DataConfig], **settings: Any) -> None:
    whole, drawn = load(config, **settings), settings | {"train_subset": "random"}
    less, more = (load(config, **(drawn | {"train_samples": count})) for count in (5, 10))
    assert less.rows is not None, "train_subset: no rows are told; take `kept_rows` and `places`"
    assert torch.equal(less.x_train, more.x_train[:5]), "train_samples: 5 are no part of 10"
    assert len(more.y_train) == 10, f"train_samples: 10 of them are {len(more.y_train)}"
    assert less.class_names == whole.class_names, "class_names hang on train_subset"


@promise(DataConfig)
def images_are_brought_to_a_size(config: type[DataConfig], **settings: Any) -> None:
    size = (24, 16)
    data = load(config, **(settings | {"size": size}))
    assert data.size == size, (
        f"size: images are {data.size}; `read` them, and leave `load` as it is"
    )


@promise(DataConfig)
def its_augmentations_fit_its_images(config: type[DataConfig], **settings: Any) -> None:
    data = load(config, **settings)
    for name in ("ssl_augment", "finetune_augment"):
        chosen: AugmentConfig = getattr(data, name)
        augment = Augment(chosen, data.size, data.mean, data.std)
        images = data.x_train[:4]
        views = augment(images, augment.sample(4, torch.Generator().manual_seed(0)))
        assert views.shape == images.shape, f"{name}: made {tuple(views.shape)}"
        assert views.isfinite().all(), f"{name}: its values must be finite"


def load(config: type[DataConfig], **settings: Any) -> ImageData:
    """A few of its images; those of its stand-in where they would have to be fetched."""
    data = small(config, **(FEW | settings))
    try:
        stand_in = data.stand_in()
        if stand_in is not None:
            data = data.model_copy(update=dict(stand_in.fields))
        return data.load()
    except UserError as error:
        raise NeedsSettingsError(config, error) from None
