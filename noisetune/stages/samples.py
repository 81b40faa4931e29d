"""What a network is fine-tuned and judged on: the data set's images, or features of them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.records import FINETUNE
from noisetune.ssl.base import Features
from noisetune.stages.base import Inputs
from noisetune.training.augment import Augment, AugmentConfig, normalise
from noisetune.training.feeding import Feed
from noisetune.training.runtime import Runtime


def augmentation(config: TrialConfig, data: ImageData) -> AugmentConfig:
    """How the images are augmented that a trial is fine-tuned on."""
    chosen = config.finetune.augment
    return data.ssl_augment if chosen == "ssl" else chosen or data.finetune_augment


class Images:
    """The images of both parts, augmented to learn from, and plain to be judged by."""

    def __init__(self, inputs: Inputs) -> None:
        config, data = inputs.config, inputs.data
        self.train = Feed(data.x_train, config.runtime)
        self.test = Feed(data.x_test, config.runtime)
        self._augment = Augment(augmentation(config, data), data.size, data.mean, data.std)
        self._augmenting = inputs.stream(FINETUNE, "augmentation")

    @contextmanager
    def learning(self, epoch: int, parts: Sequence[Tensor]) -> Iterator[Iterator[Tensor]]:
        """A batch of an epoch for each of `parts`, positions (B,) in the training set, in turn."""
        sizes = [len(part) for part in parts]
        draws = self._augment.sample(sum(sizes), self._augmenting.generator(epoch))
        drawn = draws.to(self.train.device).split(sizes)
        with self.train.batches(parts) as batches:
            yield (self._augment(*each) for each in zip(batches, drawn, strict=True))

    def plain(self, batch: Tensor) -> Tensor:
        """A batch as the network is judged by it."""
        return normalise(batch, self._augment.mean, self._augment.std)


class Vectors:
    """The features of both parts: there is nothing to augment."""

    def __init__(self, features: Features, runtime: Runtime) -> None:
        self.train, self.test = Feed(features.train, runtime), Feed(features.test, runtime)

    def learning(
        self, epoch: int, parts: Sequence[Tensor]
    ) -> AbstractContextManager[Iterator[Tensor]]:
        """A batch for each of `parts`, positions (B,) in the training set, in turn."""
        return self.train.batches(parts)

    def plain(self, batch: Tensor) -> Tensor:
        """A batch as the head is judged by it."""
        return batch


def samples_of(inputs: Inputs) -> Images | Vectors:
    """What the trial's network reads."""
    if inputs.features is None:
        return Images(inputs)
    return Vectors(inputs.features, inputs.config.runtime)
