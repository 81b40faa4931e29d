"""What a cell of a table says of some replicates: a mean where it describes them, else each one."""

from collections.abc import Mapping, Sequence

import numpy as np

from noisetune.analysis.intervals import collapsed
from noisetune.analysis.statistics import FEW, Interval, mean_interval
from noisetune.records import TrialRecord
from noisetune.selection import CHOICES, Choice

CONDITIONAL = "†"
RULES: dict[Choice, str] = {
    "last": "last",
    "noisy_best": "noisy\nbest",
    "label_wave": "label\nwave",
    "oracle": "oracle",
}
"""What a column of each choice of epoch is headed by."""


def known_choices(
    arms: Sequence[tuple[Mapping[str, Mapping[int, float]], TrialRecord | None]],
) -> list[Choice]:
    """The choices of epoch to show of arms: replicates, by choice and seed, and the trial that they
    run again. Trials of earlier versions have no accuracy where Label Wave stops."""
    waved = any(accuracy_text(again["label_wave"], trial, "label_wave") for again, trial in arms)
    return [choice for choice in CHOICES if waved or choice != "label_wave"]


def accuracy_text(replicates: Mapping[int, float], trial: TrialRecord | None, choice: str) -> str:
    """Accuracies in %, of replicates by seed: mean and interval; up to five, the mean and each.

    Where some collapsed, the median, how many did, and each: no mean describes such a mixture.
    Without replicates, in brackets, that of the `trial` itself.
    """
    if not replicates:
        value = None if trial is None else trial.metrics.get(f"test/accuracy_at_{choice}")
        return "" if value is None else f"({100 * value:.1f})"
    values = [100 * replicates[seed] for seed in sorted(replicates)]
    if gone := collapsed(replicates):
        lines = [f"{np.median(values):.1f} median", f"{len(gone)} of {len(values)} low"]
        return "\n".join(lines + _in_pairs(values))
    mean = f"{np.mean(values):.1f}"
    if len(values) <= FEW:
        return "\n".join([mean, *(_in_pairs(values) if len(values) > 1 else [])])
    interval = mean_interval(values)
    mark = CONDITIONAL if trial is not None and trial.one_encoder else ""
    return f"{mean}\n{interval.low:.1f}..{interval.high:.1f}{mark}"


def interval_text(interval: Interval, decimals: int, mark: str = "") -> str:
    """Mean and, on a line of its own, the interval."""
    if interval.mean is None:
        return ""
    cell = f"{interval.mean:.{decimals}f}"
    if interval.low is None or interval.high is None:
        return cell
    return f"{cell}\n{interval.low:.{decimals}f}..{interval.high:.{decimals}f}{mark}"


def in_points(share: Interval) -> Interval:
    """An interval of accuracy (0..1) in points."""
    mean, low, high = (
        None if end is None else 100 * end for end in (share.mean, share.low, share.high)
    )
    return Interval(mean, low, high, share.n)


def _in_pairs(values: Sequence[float]) -> list[str]:
    """Each value, two a line."""
    texts = [f"{value:.1f}" for value in values]
    return [" ".join(texts[start : start + 2]) for start in range(0, len(texts), 2)]
