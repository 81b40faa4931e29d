"""What every label-noise model is: a pure function of labels and a random generator."""

import numpy as np

from noisetune.plugins import PluginConfig


class NoiseConfig(PluginConfig):
    """A label-noise model."""

    model: str

    def corrupt(self, labels: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
        """Noisy labels, int64 (N,), of clean `labels` (N,) in 0..classes-1."""
        raise NotImplementedError

    def transition_matrix(self, classes: int) -> np.ndarray:
        """Expected (classes, classes) row-stochastic matrix: P(noisy = column | clean = row)."""
        raise NotImplementedError
