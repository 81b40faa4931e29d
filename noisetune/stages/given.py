"""An encoder that a trial is given: there is nothing to compute, only what it is to be known by."""

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.records import ENCODER
from noisetune.ssl.base import GivenEncoder
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
