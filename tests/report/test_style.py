"""Arms look alike in all figures, and apart from each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.report.style import DARK, KNOWN, PALETTE, WHITE, looks

READABLE = 3.0
"""The contrast that graphics need (WCAG 2.1, 1.4.11)."""


def luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("ground", [WHITE, DARK])
@pytest.mark.parametrize("color", PALETTE)
def test_every_colour_can_be_seen_on_both_grounds(color: str, ground: str) -> None:
    low, high = sorted([luminance(color), luminance(ground)])
    assert (high + 0.05) / (low + 0.05) >= READABLE


@given(st.lists(st.sampled_from([*KNOWN, "mine", "yours"]), unique=True))
def test_a_known_method_has_its_look_whatever_stands_beside_it(arms: list[str]) -> None:
    found = looks(arms)
    assert {arm: found[arm] for arm in arms if arm in KNOWN} == {
        arm: looks([arm])[arm] for arm in arms if arm in KNOWN
    }


@pytest.mark.parametrize("count", [2, 8, 24])
def test_no_two_arms_look_alike(count: int) -> None:
    found = looks([*(["none", "simclr"]), *map(str, range(count))])
    drawn = [(each.color, each.marker, each.line) for each in found.values()]
    assert len(set(drawn)) == count + 2


def test_in_grey_the_first_arms_are_told_apart_by_their_markers() -> None:
    assert len({each.marker for each in looks(map(str, range(8))).values()}) == 8
