"""The order of trials: those first whose pre-training is there, or is nobody's yet.

A slot that holds a trial which waits for its sibling's encoder is a slot lost. Ray starts whatever
is pending, so the order is made before it is told.
"""

from collections.abc import Iterable
from typing import Protocol

from noisetune.config import TrialConfig
from noisetune.datasets import Datasets
from noisetune.ssl.base import SSLConfig
from noisetune.stages.pretrain import pretrain_key
from noisetune.store import StageKey, StoreLike


class Working(Protocol):
    """A trial that runs: what it pre-trains, until it has."""

    config: TrialConfig

    @property
    def pretraining(self) -> str | None: ...


class Order:
    """Says whether a trial could start to work at once. Without a store every trial can."""

    def __init__(self, store: StoreLike | None, datasets: Datasets | None = None) -> None:
        self.store, self.datasets = store, datasets or Datasets()

    def key(self, config: TrialConfig) -> StageKey | None:
        """What the trial's pre-training is stored under; None: it has none, or shares nothing."""
        if self.store is None or not isinstance(config.pretrain, SSLConfig):
            return None
        return pretrain_key(config, self.datasets.load(config.data))

    def can_start(self, config: TrialConfig, running: Iterable[Working]) -> bool:
        """Whether its pre-training is stored, or is computed neither here nor elsewhere."""
        key = self.key(config)
        if key is None or self.store is None:
            return True
        assert isinstance(config.pretrain, SSLConfig)
        if config.pretrain.epochs in self.store.steps(key):
            return True
        if any(other.pretraining == key.digest for other in running):
            return False
        return self.store.holder(key) is None
