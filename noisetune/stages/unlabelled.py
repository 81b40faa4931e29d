"""Images without labels that pre-training sees beside those of the training set."""

import torch
from torch import Tensor

from noisetune.data._decoding import Form
from noisetune.data._folders import read_loose
from noisetune.data._image_cache import CachedImages, cached_images, default_cache
from noisetune.data.base import ImageData
from noisetune.memory import require_memory
from noisetune.ssl.base import SSLConfig

FIELD = "pretrain.unlabelled"


def unlabelled_images(method: SSLConfig, data: ImageData) -> CachedImages | None:
    """Those of the method's folder, in the size and the channels of the data set, from the cache;
    None where it names no folder.

    UserError, naming the file, for what is no image.
    """
    if method.unlabelled is None:
        return None
    files = read_loose(method.unlabelled, FIELD)
    form = Form(*data.size, data.channels)
    return cached_images(files, form, default_cache(), lambda row: f"{FIELD}: {files[row]}")


def pretraining_images(method: SSLConfig, data: ImageData) -> Tensor:
    """All that pre-training sees, uint8 (N, C, H, W): the training images first."""
    more = unlabelled_images(method, data)
    if more is None:
        return data.x_train
    require_memory(data.x_train.nbytes + more.images.nbytes, f"{FIELD}: all images together")
    return torch.cat([data.x_train, more.images])


def more_images(method: SSLConfig, data: ImageData) -> float:
    """How many images without labels there are to a training image."""
    more = unlabelled_images(method, data)
    return 0.0 if more is None else len(more.images) / len(data.x_train)
