"""What the curves of a training say of its overfitting: pure functions over epochs."""

import math
from collections.abc import Sequence

import numpy as np


def loss_escalation(clean_test_losses: Sequence[float]) -> float | None:
    """Last over smallest clean-test loss, 1 or more; None where that is no finite ratio."""
    if not len(clean_test_losses) or not min(clean_test_losses) > 0:
        return None
    ratio = float(clean_test_losses[-1] / min(clean_test_losses))
    return ratio if math.isfinite(ratio) else None


def overfits(clean_test_losses: Sequence[float], train_losses: Sequence[float]) -> bool:
    """Whether, from the (last) minimum of the clean-test loss to the end, the training loss falls
    while the clean-test loss rises.

    Both are per epoch and of one length; a nan among the losses answers False.
    """
    if len(clean_test_losses) != len(train_losses):
        raise ValueError(
            f"losses: {len(clean_test_losses)} test and {len(train_losses)} training epochs differ"
        )
    if not len(train_losses) or np.isnan([clean_test_losses, train_losses]).any():
        return False
    start = len(clean_test_losses) - 1 - int(np.argmin(clean_test_losses[::-1]))
    rises = clean_test_losses[-1] > clean_test_losses[start]
    return bool(rises and train_losses[-1] < train_losses[start])


def drop_from_peak(accuracies: Sequence[float]) -> float:
    """How far the last accuracy is under the best one, 0 or more."""
    return max(accuracies) - accuracies[-1]
