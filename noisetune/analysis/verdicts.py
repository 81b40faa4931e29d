"""What paired differences establish, at every look: Holm's step-down over each family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from noisetune.analysis.evidence import FEWEST, Values, difference_log_p, equality_log_p
from noisetune.analysis.families import Family, Pair
from noisetune.selection import ROUNDING

ONE_ENCODER = "all replicates begin with one encoder: not tested"
IDENTICAL = "the differences are identical: they tell of no variance"


@dataclass(frozen=True)
class Verdict:
    """What `n` replicates say of a pair of conditions, `a` minus `b`.

    `p` is the anytime p of their difference after Holm's adjustment in the `family` (its place
    among the families, from 0), `claim` which arm is established as better at its `level`, and
    `at_n` the replicate with which it was. `equal` is the same for equality within the margin.
    `reason` says why there can be no verdict.
    """

    a: str
    b: str
    n: int
    family: int
    level: float
    p: float | None = None
    claim: Literal["above", "below"] | None = None
    at_n: int | None = None
    equal: bool = False
    equal_at_n: int | None = None
    reason: str | None = None

    @property
    def open(self) -> bool:
        """Whether more replicates may answer it."""
        return self.claim is None and not self.equal and self.reason != ONE_ENCODER


Groups = Mapping[str, Mapping[int, float]]
"""Condition -> replicate seed -> accuracy."""


def judge(
    families: Sequence[Family],
    groups: Groups,
    margin: float | None = None,
    untested: Sequence[str] = (),
    waiting: Mapping[str, Sequence[int]] | None = None,
) -> list[Verdict]:
    """A verdict on each pair, in the newest family that asks about it.

    Replicates count in the order of their seeds; those from the first seed that either arm has
    `waiting` do not count yet, so that it changes nothing which of them ends first. `margin`, of
    accuracy, is what counts as equal. A pair with one of the `untested` arms is not judged; a pair
    that a newer family asks about stays in the older one as one without evidence.
    """
    newest = {pair: place for place, family in enumerate(families) for pair in family.pairs}
    verdicts: list[Verdict] = []
    for place, family in enumerate(families):
        mine = [pair for pair in family.pairs if newest[pair] == place]
        values = [leading_differences(groups, pair, waiting or {}) for pair in mine]
        reasons = [
            ONE_ENCODER if set(pair) & set(untested) else _reason(each)
            for pair, each in zip(mine, values, strict=True)
        ]
        tested = [
            each if why is None else each[:0] for each, why in zip(values, reasons, strict=True)
        ]
        superseded = len(family.pairs) - len(mine)
        claims = _answers([difference_log_p(each) for each in tested], superseded, family.level)
        equal = _answers(
            [
                np.zeros(len(each)) if margin is None else equality_log_p(each, margin)
                for each in tested
            ],
            superseded,
            family.level,
        )
        for pair, each, why, claimed, same in zip(
            mine, values, reasons, claims, equal, strict=True
        ):
            verdicts.append(
                Verdict(
                    *pair,
                    n=len(each),
                    family=place,
                    level=family.level,
                    p=claimed.p if why is None else None,
                    claim=_side(each, claimed.at_n),
                    at_n=claimed.at_n,
                    equal=same.at_n is not None,
                    equal_at_n=same.at_n,
                    reason=why,
                )
            )
    return verdicts


def leading_differences(groups: Groups, pair: Pair, waiting: Mapping[str, Sequence[int]]) -> Values:
    """Differences (n,) of the seeds that both arms have, up to the first that one waits for."""
    first, second = (groups.get(name, {}) for name in pair)
    pending = [seed for name in pair for seed in waiting.get(name, ())]
    seeds = sorted(first.keys() & second.keys())
    leading = [seed for seed in seeds if not pending or seed < min(pending)]
    return np.array([first[seed] - second[seed] for seed in leading], dtype=np.float64)


def _reason(differences: Values) -> str | None:
    if len(differences) < FEWEST:
        return f"n = {len(differences)}: no verdict under n = {FEWEST}"
    return IDENTICAL if np.ptp(differences) <= ROUNDING else None


@dataclass(frozen=True)
class _Answer:
    """Holm's p of a hypothesis at the last look, and at which replicate it was rejected."""

    p: float
    at_n: int | None


def _answers(logs: Sequence[Values], superseded: int, level: float) -> list[_Answer]:
    """Holm's step-down (Holm 1979) over anytime p-values (log), looked at after each replicate.

    It is valid at every look, since each p is; and what is rejected stays so, since each falls.
    """
    looks = max((len(each) for each in logs), default=0)
    if not looks:
        return [_Answer(1.0, None) for _ in logs]
    padded = np.stack([_held(each, looks) for each in logs] + [np.zeros(looks)] * superseded)
    adjusted = holm_logs(padded)
    rejected = adjusted <= np.log(level)
    return [
        _Answer(
            p=float(np.exp(adjusted[place, -1])),
            at_n=min(int(rejected[place].argmax()) + 1, len(each))
            if rejected[place].any()
            else None,
        )
        for place, each in enumerate(logs)
    ]


def _held(logs: Values, looks: int) -> Values:
    """With the last value held for the looks at which other pairs went on."""
    last = logs[-1] if len(logs) else 0.0
    return np.concatenate([logs, np.full(looks - len(logs), last)])


def holm_logs(logs: Values) -> Values:
    """Holm-adjusted p-values (log) over the second axis from the end (..., pairs, looks)."""
    order = np.argsort(logs, axis=-2, kind="stable")
    left = np.arange(logs.shape[-2], 0, -1)[:, None]
    stepped = np.take_along_axis(logs, order, -2) + np.log(left)
    adjusted = np.minimum(np.maximum.accumulate(stepped, axis=-2), 0.0)
    return np.take_along_axis(adjusted, np.argsort(order, axis=-2, kind="stable"), -2)


def _side(differences: Values, at_n: int | None) -> Literal["above", "below"] | None:
    if at_n is None:
        return None
    return "above" if differences[:at_n].mean() > 0 else "below"
