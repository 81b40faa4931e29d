"""What a trial is given, an encoder or features: there is nothing to compute, only what it is to be
known by."""

from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.errors import UserError
from noisetune.records import ENCODER, EXTRACT
from noisetune.ssl.base import Features, GivenEncoder, GivenFeatures
from noisetune.stages.base import record_of
from noisetune.store import Artifact, StageKey, StoreLike
from noisetune.training.weights import content_hash

VERSION = 1


def is_missing(config: TrialConfig) -> bool:
    """Whether a trial is given an encoder that would have to be fetched."""
    return isinstance(config.pretrain, GivenEncoder) and not config.pretrain.is_here(config.model)


def unseen_key(config: TrialConfig) -> StageKey:
    """What stands for the key of an encoder that is not fetched: its settings."""
    settings = {"unseen": config.pretrain.model_dump(mode="json"), "model": config.model.identity()}
    return StageKey(ENCODER, VERSION, settings)


def given_encoder(
    config: TrialConfig, data: ImageData, store: StoreLike
) -> tuple[StageKey, Artifact] | None:
    """A trial's given encoder for images such as those of `data`; None where it has none.

    Its key holds the content of the weights, as they enter the backbone, and not where they came
    from: a copy of the file is the same encoder, and another stem is another one. Nothing is
    stored under it. UserError for weights that are not there or do not fit.
    """
    method = config.pretrain
    if not isinstance(method, GivenEncoder):
        return None
    weights = method.encoder(config.model, data.channels, data.size, store)
    key = StageKey(ENCODER, VERSION, {"weights": content_hash(weights)})
    tensors = {f"network.encoder.{name}": tensor for name, tensor in weights.items()}
    return key, Artifact(tensors, record_of([], 0.0))


def given_features(config: TrialConfig, data: ImageData) -> tuple[StageKey, Features] | None:
    """A trial's given features of the images of `data`; None where it has none.

    Their key holds their content, which images they are of, and how they are scaled, and not where
    they came from. Nothing is stored under it. UserError for features that are not there, or are
    not those of these images.
    """
    method = config.pretrain
    if not isinstance(method, GivenFeatures):
        return None
    given, content = method.read()
    limits = config.data.train_samples, config.data.test_samples
    features = Features(
        _of_images("train", given.train, len(data.x_train), limits[0], data.rows),
        _of_images("test", given.test, len(data.x_test), limits[1]),
    )
    taken = len(features.train), len(features.test)
    rows = None if data.rows is None else content_hash({"rows": data.rows})
    read = {"given": content, "taken": taken, "rows": rows, **method.identity()}
    return StageKey(EXTRACT, VERSION, read), method.prepared(features)


def _of_images(
    part: str, vectors: Tensor, images: int, limit: int | None, rows: Tensor | None = None
) -> Tensor:
    """The vectors of so many images: all, or those at `rows` of the whole data set's, or the first
    ones where a `limit` keeps those."""
    if len(vectors) == images:
        return vectors
    if rows is not None and len(vectors) > int(rows.max()):
        return vectors[rows]
    if rows is None and images == limit and len(vectors) > images:
        return vectors[:images]
    raise UserError(
        f"pretrain.path: {part} has {len(vectors)} rows, and the data set has {images} {part} "
        f"images; it must have one for each image as it is loaded, or, where data.{part}_samples "
        "keeps a part, for all"
    )
