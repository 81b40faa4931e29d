"""What planned replicates can establish, from a spread that is named."""

import math
from typing import Any

import pytest

from noisetune.analysis.power import smallest_difference
from noisetune.sweep.foresight import ASSUMED, Foresight, foresee
from noisetune.sweep.home import Home
from noisetune.sweep.spec.sweep import Sweep

SPACE = {"conditions": {"noise.rate": [0.2, 0.4], "pretrain.method": ["none", "simclr"]}}


def foreseen(home: Home | None = None, **settings: Any) -> Foresight | None:
    sweep = {"name": "mine", "trial": {"data": {"name": "digits"}}, **settings}
    return foresee(Sweep.read(sweep, SPACE), home)


def test_it_says_what_the_planned_replicates_establish_from_an_assumed_spread() -> None:
    seen = foreseen(replicates=12)
    assert seen is not None
    assert (seen.pairs, seen.replicates) == (2, 12)
    assert seen.smallest == pytest.approx(smallest_difference(12, ASSUMED, 2))
    assert (seen.spread.points, seen.spread.source) == (ASSUMED, "assumed")
    assert seen.for_half is not None
    assert seen.for_half > 12


def test_too_few_replicates_establish_nothing() -> None:
    seen = foreseen(replicates=3)
    assert seen is not None
    assert seen.smallest is None
    assert seen.for_half is not None


def test_without_replicates_or_comparisons_there_is_nothing_to_foresee() -> None:
    assert foreseen(replicates=0) is None
    alone = {"name": "mine", "trial": {"data": {"name": "digits"}}}
    assert foresee(Sweep.read(alone, {"conditions": {}}), None) is None


@pytest.mark.parametrize(("points", "unreachable"), [(2.0, True), (8.0, False)])
def test_equality_that_cannot_be_reached_is_seen(points: float, unreachable: bool) -> None:
    growing = {"from": 5, "until": {"difference": points}, "at_most": 20}
    seen = foreseen(replicates=growing)
    assert seen is not None
    assert seen.replicates == 20
    assert seen.unreachable is unreachable
    assert seen.equal_up_to is not None
    assert math.isclose(seen.equal_up_to, points * 0.87, rel_tol=0.1)
