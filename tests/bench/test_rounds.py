"""When rounds end and what is said of them, on times that are made up."""

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.bench.rounds import (
    Estimate,
    Round,
    Spent,
    Until,
    Versus,
    estimates,
    ratio_figures,
    take_rounds,
)

RATIOS = {"slow to quick": Versus(over=("slow",), under="quick")}
TRUE_RATIO = 2.0
untils = st.builds(
    Until,
    within=st.floats(0.01, 0.5),
    rounds=st.integers(1, 40),
    seconds=st.floats(0, 100),
    seed=st.integers(0, 99),
)


class Machine:
    """Its clock, and parts of 2 s and 1 s whose logarithms have this `spread`."""

    def __init__(self, seed: int, spread: float) -> None:
        self.random = np.random.default_rng(seed)
        self.spread, self.now = spread, 0.0
        self.order: list[str] = []

    def part(self, name: str, seconds: float) -> Callable[[], Spent]:
        def run() -> Spent:
            taken = seconds * np.exp(self.spread * self.random.standard_normal())
            self.order.append(name)
            self.now += taken
            return Spent(float(taken), float(taken))

        return run

    def take(self, until: Until) -> list[Round]:
        parts = {"slow": self.part("slow", TRUE_RATIO), "quick": self.part("quick", 1.0)}
        return take_rounds(parts, RATIOS, until, clock=lambda: self.now)


@given(until=untils, spread=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_rounds_end_when_the_ratio_is_known_or_the_time_is_up_and_not_before(
    until: Until, spread: float, seed: int
) -> None:
    machine = Machine(seed, spread)
    rounds = machine.take(until)
    known = [
        not ratio_figures(rounds[:n], RATIOS, until)["wide"] for n in range(1, len(rounds) + 1)
    ]
    ends = np.cumsum([each["slow"].wall + each["quick"].wall for each in rounds])
    assert not any(known[:-1])
    assert all(ends[:-1] <= until.seconds)
    assert known[-1] or len(rounds) == until.rounds or ends[-1] > until.seconds


@given(until=untils, seed=st.integers(0, 99))
def test_fewer_than_six_rounds_say_nothing_of_a_ratio(until: Until, seed: int) -> None:
    rounds = Machine(seed, spread=0.0).take(until)
    figures = ratio_figures(rounds, RATIOS, until)
    assert len(rounds) <= 6  # equal times are known as soon as anything is
    assert bool(figures["wide"]) is (len(rounds) < 6)
    assert figures["ratios"]["slow to quick"]["wall"]["ratio"] == pytest.approx(TRUE_RATIO)


@given(seed=st.integers(0, 99))
def test_every_round_has_each_part_once_in_an_order_that_the_seed_draws(seed: int) -> None:
    until = Until(within=0.001, rounds=30, seconds=1e9, seed=seed)
    first, again = Machine(0, 0.1), Machine(1, 0.2)
    first.take(until)
    again.take(until)
    turns = list(zip(first.order[::2], first.order[1::2], strict=True))
    assert all(set(turn) == {"slow", "quick"} for turn in turns)
    assert len(set(turns)) == 2
    assert first.order == again.order


@given(
    slower=st.lists(st.floats(1, 50), min_size=6, max_size=30),
    ratios=st.lists(st.floats(0.5, 5), min_size=30, max_size=30),
)
def test_other_work_that_slows_a_whole_round_changes_no_ratio(
    slower: list[float], ratios: list[float]
) -> None:
    def taken(factors: Iterator[float]) -> list[Round]:
        return [
            {"slow": Spent(ratio * factor, ratio * factor), "quick": Spent(factor, factor)}
            for ratio, factor in zip(ratios, factors, strict=False)
        ]

    quiet = estimates(taken(iter([1.0] * len(slower))), RATIOS)["slow to quick"]["wall"]
    loud = estimates(taken(iter(slower)), RATIOS)["slow to quick"]["wall"]
    assert loud.ratio == pytest.approx(quiet.ratio)
    assert (loud.low, loud.high) == pytest.approx((quiet.low, quiet.high))


@pytest.mark.parametrize("spread", [0.02, 0.1])
def test_an_interval_at_which_one_stops_covers_the_ratio(spread: float) -> None:
    """Of ratios whose logarithms spread by `spread` times the root of two."""
    covered = 0
    for seed in range(100):
        rounds = Machine(seed, spread).take(Until(within=0.05, rounds=200, seconds=1e9))
        found = estimates(rounds, RATIOS)["slow to quick"]["wall"]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= TRUE_RATIO <= found.high
    assert covered >= 88


def test_a_ratio_to_several_is_to_the_fastest_of_them() -> None:
    spent = {"a": Spent(3.0, 1.0), "b": Spent(2.0, 4.0), "c": Spent(1.0, 1.0)}
    versus = Versus(over=("a", "b"), under="c")
    assert [versus.of(spent, kind) for kind in ("wall", "cpu")] == [2.0, 1.0]


def test_both_kinds_of_seconds_must_be_known() -> None:
    """The clock says 2 in every round; processors say another thing each time."""
    steps = count(1)
    parts = {
        "slow": lambda: Spent(2.0, float(next(steps))),
        "quick": lambda: Spent(1.0, 1.0),
    }
    rounds = take_rounds(parts, RATIOS, Until(rounds=20, seconds=1e9))
    assert len(rounds) == 20
    assert ratio_figures(rounds, RATIOS, Until())["wide"] == ["slow to quick (cpu)"]


@pytest.mark.parametrize(("low", "high", "narrow"), [(1.9, 2.1, True), (1.8, 2.1, False)])
def test_an_interval_is_within_a_share_of_its_ratio(low: float, high: float, narrow: bool) -> None:
    assert Estimate(2.0, low, high).is_within(0.0501) is narrow
