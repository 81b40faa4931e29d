"""The gate before fine-tuning: stops trials whose encoder collapsed, or is poor beside others."""

import numpy as np

from noisetune.records import MetricPoint
from noisetune.sweep.spec.pretrain_gate import PretrainGate

KNN = "pretrain/knn"


class Gate:
    """Judges the gate points of one sweep; it remembers kNN accuracies by search and epoch."""

    def __init__(self, bounds: PretrainGate) -> None:
        self.bounds = bounds
        self._seen: dict[tuple[str, int], dict[str, float]] = {}

    def objection(self, search: str, trial: str, point: MetricPoint) -> str | None:
        """Why the trial must not go on to fine-tuning; None where it may."""
        # Looked at in any case: a collapsed encoder is one of those that others are compared with.
        behind = self._behind(search, trial, point)
        return self._collapsed(point) or behind

    def remember(self, search: str, trial: str, epochs: int, accuracy: float) -> None:
        """The kNN accuracy of a trial's encoder, for others to be compared with."""
        self._seen.setdefault((search, epochs), {})[trial] = accuracy

    def _collapsed(self, point: MetricPoint) -> str | None:
        bounds = {
            "pretrain/feature_deviation": self.bounds.feature_deviation,
            "pretrain/rankme": self.bounds.rankme,
        }
        for metric, bound in bounds.items():
            value = point.values.get(metric)
            if bound is not None and value is not None and value < bound:
                return f"pretrain_gate: the encoder collapsed: {metric} {value:.3g} under {bound:g}"
        return None

    def _behind(self, search: str, trial: str, point: MetricPoint) -> str | None:
        value, percentile = point.values.get(KNN), self.bounds.knn_percentile
        if value is None or percentile is None:
            return None
        others = self._seen.get((search, point.step), {})
        before = [accuracy for name, accuracy in others.items() if name != trial]
        self.remember(search, trial, point.step, value)
        if len(before) < self.bounds.n_startup_trials:
            return None
        bound = float(np.percentile(before, percentile))
        if value >= bound:
            return None
        return (
            f"pretrain_gate: kNN accuracy {value:.4f} after {point.step} epochs, under the "
            f"{percentile:g}th percentile ({bound:.4f}) of {len(before)} trials"
        )
