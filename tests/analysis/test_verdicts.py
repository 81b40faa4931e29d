"""Verdicts: what is claimed of which pair, when, and why there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.analysis.evidence import difference_log_p
from noisetune.analysis.families import Family
from noisetune.analysis.statistics import holm
from noisetune.analysis.verdicts import IDENTICAL, ONE_ENCODER, Verdict, holm_logs, judge

PAIR = ("a", "b")
FAMILY = Family((PAIR,), 0.05, {})


def groups(
    mean: float, sd: float = 0.02, n: int = 12, seed: int = 0
) -> dict[str, dict[int, float]]:
    """Arm `a` is above `b` by `mean`."""
    gaps = np.random.default_rng(seed).normal(mean, sd, n)
    seeds = range(1, n + 1)
    return {"a": dict(zip(seeds, 0.8 + gaps, strict=True)), "b": dict.fromkeys(seeds, 0.8)}


def verdict(arms: dict[str, dict[int, float]], **settings: object) -> Verdict:
    (found,) = judge([FAMILY], arms, **settings)  # type: ignore[arg-type]
    return found


def test_a_clear_difference_is_claimed_with_its_side_and_its_replicate() -> None:
    above, below = verdict(groups(0.06)), verdict(groups(-0.06))
    assert (above.claim, below.claim) == ("above", "below")
    assert above.n == 12
    assert above.at_n is not None
    assert 5 <= above.at_n < 12
    assert not above.open


@pytest.mark.parametrize("n", range(5))
def test_there_is_no_verdict_under_five(n: int) -> None:
    found = verdict(groups(0.5, sd=0.001, n=n))
    assert found.claim is None
    assert found.reason == f"n = {n}: no verdict under n = 5"
    assert found.open


def test_a_claim_stays_whatever_comes_after() -> None:
    arms = groups(0.06, n=8)
    claimed = verdict(arms)
    later = {
        "a": arms["a"] | dict.fromkeys(range(9, 30), 0.7),
        "b": dict.fromkeys(range(1, 30), 0.8),
    }
    found = verdict(later)
    assert found.claim == claimed.claim == "above"
    assert found.at_n == claimed.at_n


def test_identical_differences_and_one_encoder_have_a_reason_and_no_verdict() -> None:
    alike = {"a": dict.fromkeys(range(8), 0.9), "b": dict.fromkeys(range(8), 0.8)}
    assert verdict(alike).reason == IDENTICAL
    assert verdict(alike).claim is None
    found = verdict(groups(0.06), untested=("b",))
    assert (found.reason, found.claim, found.p) == (ONE_ENCODER, None, None)
    assert not found.open


def test_close_arms_are_declared_equal_within_the_margin() -> None:
    found = verdict(groups(0.0, sd=0.004, n=20), margin=0.01)
    assert found.equal
    assert not found.open
    assert not verdict(groups(0.0, sd=0.004, n=20)).equal
    assert verdict(groups(0.0, sd=0.004, n=20)).open


def test_replicates_count_in_their_order_up_to_the_first_that_is_waited_for() -> None:
    arms = groups(0.06)
    assert verdict(arms, waiting={"a": [4]}).n == 3
    assert verdict(arms, waiting={"b": [9]}) == verdict(groups(0.06) | cut(arms, 8))


def cut(arms: dict[str, dict[int, float]], n: int) -> dict[str, dict[int, float]]:
    return {name: {seed: arm[seed] for seed in arm if seed <= n} for name, arm in arms.items()}


def test_a_seed_that_failed_is_left_out() -> None:
    arms = groups(0.06)
    del arms["a"][3]
    assert verdict(arms).n == 11


def test_a_pair_is_judged_in_its_newest_family_and_still_counts_in_the_older() -> None:
    other = ("c", "b")
    arms = groups(0.045) | {"c": groups(0.045, seed=1)["a"]}
    older, newer = Family((PAIR, other), 0.05, {}), Family((PAIR,), 0.025, {})
    found = {(each.a, each.family): each for each in judge([older, newer], arms)}
    assert found.keys() == {("c", 0), ("a", 1)}
    (alone,) = judge([Family((other,), 0.05, {})], arms)
    assert found["c", 0].p == pytest.approx(2 * (alone.p or 0))
    assert found["a", 1].level == 0.025


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12))
def test_the_step_down_is_holms(p_values: list[float]) -> None:
    stepped = np.exp(holm_logs(np.log(np.array(p_values))[:, None]))[:, 0]
    assert stepped == pytest.approx(np.array(holm(p_values), dtype=float), rel=1e-9)


@given(st.integers(0, 200), st.floats(0.0, 0.08))
def test_looking_after_each_replicate_gives_what_one_look_at_the_end_does(
    seed: int, mean: float
) -> None:
    arms = groups(mean, sd=0.04, seed=seed) | {"c": groups(0.05, sd=0.04, seed=seed + 1)["a"]}
    family = Family((PAIR, ("c", "b")), 0.05, {})
    kept: dict[str, int] = {}
    for n in range(1, 13):
        for each in judge([family], cut(arms, n)):
            if each.claim is not None:
                kept.setdefault(each.a, n)
    last = {each.a: each.at_n for each in judge([family], arms) if each.claim is not None}
    assert kept == last


def test_the_p_of_a_verdict_is_the_anytime_p() -> None:
    arms = groups(0.03)
    gaps = np.array([arms["a"][seed] - arms["b"][seed] for seed in arms["a"]])
    assert verdict(arms).p == pytest.approx(float(np.exp(difference_log_p(gaps)[-1])))
