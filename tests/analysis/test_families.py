"""Which pairs a sweep asks about, and families that grow."""

import json
from typing import Any

import pytest

from noisetune.analysis.families import Family, asked_pairs, with_new


def cells(*methods: str, rates: tuple[float, ...] = (0.3, 0.6)) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{rate} {method}", {"noise.rate": rate, "pretrain.method": method})
        for rate in rates
        for method in methods
    ]


THREE = cells("none", "simclr", "byol")


def test_methods_are_asked_against_the_baseline_of_their_group() -> None:
    assert asked_pairs(THREE) == [
        ("0.3 simclr", "0.3 none"),
        ("0.3 byol", "0.3 none"),
        ("0.6 simclr", "0.6 none"),
        ("0.6 byol", "0.6 none"),
    ]


def test_another_reference_may_be_named() -> None:
    assert asked_pairs(THREE, {"pretrain.method": "byol"})[:2] == [
        ("0.3 none", "0.3 byol"),
        ("0.3 simclr", "0.3 byol"),
    ]


def test_every_pair_on_request_and_where_nothing_is_a_baseline() -> None:
    assert len(asked_pairs(THREE, every=True)) == 6
    assert asked_pairs(cells("simclr", "byol")) == [
        ("0.3 simclr", "0.3 byol"),
        ("0.6 simclr", "0.6 byol"),
    ]


def test_conditions_that_differ_in_two_factors_are_not_compared() -> None:
    crossed = [
        (f"{method} {lr}", {"pretrain.method": method, "finetune.lr": lr})
        for method in ("none", "simclr")
        for lr in (1, 2)
    ]
    assert asked_pairs(crossed) == [("simclr 1", "none 1"), ("simclr 2", "none 2")]


def test_a_family_is_made_once() -> None:
    families = with_new([], asked_pairs(THREE), {})
    assert [family.level for family in families] == [0.05]
    assert with_new(families, asked_pairs(THREE), {}) == families


def test_later_conditions_are_a_family_at_half_the_level() -> None:
    first = with_new([], asked_pairs(cells("none", "simclr")), {})
    second = with_new(first, asked_pairs(THREE), {})
    assert second[1] == Family(
        (("0.3 byol", "0.3 none"), ("0.6 byol", "0.6 none")),
        0.025,
        dict.fromkeys(("0.3 byol", "0.3 none", "0.6 byol", "0.6 none"), ""),
    )
    later = with_new(second, asked_pairs(cells("none", "simclr", "byol", "mae")), {})
    assert later[:2] == second
    assert later[2].level == pytest.approx(0.0125)


def test_settings_join_when_they_are_known_and_another_winner_is_a_new_question() -> None:
    pairs = asked_pairs(cells("none", "simclr"))
    families = with_new([], pairs, {"0.3 none": "a"})
    known = with_new(families, pairs, {"0.3 none": "a", "0.3 simclr": "b", "0.6 none": "c"})
    assert len(known) == 1
    assert known[0].settings["0.3 simclr"] == "b"
    changed = with_new(known, pairs, {"0.3 none": "a", "0.3 simclr": "other", "0.6 none": "c"})
    assert changed[0] == known[0]
    assert changed[1].pairs == (("0.3 simclr", "0.3 none"),)
    assert changed[1].level == 0.025
    assert with_new(changed, pairs, {"0.3 none": "a", "0.3 simclr": "other"}) == changed


def test_a_family_is_a_record() -> None:
    (family,) = with_new([], asked_pairs(THREE), {"0.3 none": "x"})
    assert Family.from_json(json.loads(json.dumps(family.to_json()))) == family
