"""What noisy scores do not tell apart: methods by their replicates, settings by one run each.

A tie is what a test at 5 % over all pairs does not tell from equal, so that equal methods tie in 95
of 100 sweeps. The spread between seeds is in it: it is often wider than the binomial error of the
noisy labels, which all that it forgets makes ties rare.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from noisetune.analysis.statistics import paired_difference

LEVEL = 0.05


def tied_methods(
    best: str,
    scores: Mapping[str, float],
    replicates: Mapping[str, Mapping[int, float]],
    errors: Mapping[str, float],
) -> set[str]:
    """The names whose score the noisy labels do not tell from that of the `best`, itself included.

    `replicates` are scores by seed, compared in pairs. Where an arm has fewer than two, `scores`
    are of one run each, and `errors`, the binomial ones, are all that is known of their spread. A
    nan score is never among them.
    """
    names = [name for name, score in scores.items() if not math.isnan(score)]
    level = LEVEL / max(1, math.comb(len(names), 2))
    return {
        name
        for name in names
        if name == best
        or scores[name] == scores[best]
        or _alike(best, name, scores, replicates, errors, level)
    }


def _alike(
    best: str,
    other: str,
    scores: Mapping[str, float],
    replicates: Mapping[str, Mapping[int, float]],
    errors: Mapping[str, float],
    level: float,
) -> bool:
    first, second = (replicates.get(name, {}) for name in (best, other))
    if len(first.keys() & second.keys()) >= 2:
        _, p = paired_difference(first, second)
        return p is not None and p >= level
    error = math.hypot(errors.get(best, 0.0), errors.get(other, 0.0))
    return abs(scores[best] - scores[other]) <= _normal_bound(level) * error


def tied_settings(scores: Sequence[float], replicates: Sequence[float]) -> int | None:
    """How many of the settings' `scores` (one run each, the winner's first) their spread does not
    tell from the winner's, beside itself; None where fewer than three `replicates` show the spread.
    """
    if len(replicates) < 3 or not scores:
        return None
    level = LEVEL / max(1, math.comb(len(scores), 2))
    t = float(special.stdtrit(len(replicates) - 1, 1 - level / 2))
    bound = t * math.sqrt(2) * float(np.std(replicates, ddof=1))
    return sum(abs(score - scores[0]) <= bound for score in scores[1:])


def _normal_bound(level: float) -> float:
    return float(special.ndtri(1 - level / 2))
