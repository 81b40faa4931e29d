"""PretrainGate: which trials end before they are fine-tuned."""

from pydantic import Field

from noisetune.section import Section


class PretrainGate(Section):
    """Stops a trial between pre-training and fine-tuning. Nothing in it looks at the truth.

    A field that is null stops nothing.
    """

    feature_deviation: float | None = Field(default=None, gt=0.0, le=1.0)
    """Collapsed where the deviation of normalised features, 0 to 1, is under it."""
    rankme: float | None = Field(default=None, gt=1.0)
    """Collapsed where the effective rank of features (RankMe) is under it."""
    knn_percentile: float | None = Field(default=None, gt=0.0, lt=100.0)
    """Stopped where kNN accuracy under its own noisy labels is under this percentile of the
    condition's trials at the same pre-training epoch."""
    n_startup_trials: int = Field(default=3, ge=1)
    """So many trials pass before `knn_percentile` counts."""
