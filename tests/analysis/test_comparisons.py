"""What a table of comparisons claims, and what it may not."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from test_tables import replicates

from noisetune.analysis.comparisons import comparisons_table, verdict
from noisetune.analysis.summaries import compare, summarise
from noisetune.analysis.tables import conditions_table
from noisetune.records import TrialRecord

LOW, HIGH = [0.50, 0.51, 0.52, 0.53], [0.70, 0.712, 0.72, 0.735]
GIVEN = {"method": "imagenet"}
SHARED = {"pretrain": {"method": "simclr", "epochs": 5}, "pretrain_seed": "shared"}


def text(table: Table) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def configured(records: list[TrialRecord], config: dict[str, Any]) -> list[TrialRecord]:
    return [replace(each, config=each.config | config) for each in records]


def shown(records: list[TrialRecord], choice: str = "noisy_best") -> str:
    summaries = summarise(records, True)
    return text(comparisons_table(summaries, compare(summaries, choice), choice))


def test_a_difference_is_put_in_words_where_holm_leaves_it() -> None:
    said = shown(replicates(0.4, "none", LOW) + replicates(0.4, "simclr", HIGH))
    assert "established at 5 % after Holm: simclr above none (noise.rate=0.4)" in said


def test_what_is_lower_is_named_second() -> None:
    said = shown(replicates(0.4, "none", HIGH) + replicates(0.4, "simclr", LOW))
    assert "none above simclr (noise.rate=0.4)" in said


@pytest.mark.parametrize(
    ("first", "second"), [(LOW, [0.55, 0.47, 0.54, 0.5]), ([0.5], [0.9]), ([0.5] * 3, [0.6] * 3)]
)
def test_where_no_interval_excludes_zero_nothing_is_established(
    first: list[float], second: list[float]
) -> None:
    """One replicate has no interval, and constant differences estimate no variance."""
    said = shown(replicates(0.4, "none", first) + replicates(0.4, "simclr", second))
    assert "no difference is established" in said


def test_a_difference_that_holm_does_not_leave_is_not_established() -> None:
    """p is .020 alone, and .059 among three."""
    arms = {"none": [0.5, 0.52, 0.54], "simclr": [0.58, 0.57, 0.62]}
    alone = [each for method, values in arms.items() for each in replicates(0.4, method, values)]
    assert "simclr above none" in shown(alone)
    third = replicates(0.4, "barlow_twins", [0.53, 0.6, 0.49])
    assert "no difference is established" in shown(alone + third)


@pytest.mark.parametrize("choice", ["last", "noisy_best", "oracle"])
def test_each_choice_of_epoch_has_its_own_table(choice: str) -> None:
    better = [
        replace(each, metrics=each.metrics | {f"test/accuracy_at_{choice}": 0.7 + each.seed / 99})
        for each in replicates(0.4, "simclr", LOW)
    ]
    records = replicates(0.4, "none", LOW) + better
    others = {"last", "noisy_best", "oracle"} - {choice}
    assert "simclr above none" in shown(records, choice)
    assert all("no difference is established" in shown(records, other) for other in others)
    assert {"last": "last", "noisy_best": "noisy-best", "oracle": "(oracle)"}[choice] in shown(
        records, choice
    )


@pytest.mark.parametrize("config", [{"pretrain": GIVEN}, SHARED])
def test_what_is_conditional_on_one_encoder_is_marked_and_not_tested(
    config: dict[str, Any],
) -> None:
    records = replicates(0.4, "none", LOW) + configured(replicates(0.4, "simclr", HIGH), config)
    summaries = summarise(records, True)
    (found,) = compare(summaries)
    assert (found.p, found.p_adjusted) == (None, None)
    assert found.difference.low is not None
    for said in (shown(records), text(conditions_table(summaries, "val/accuracy", False))):
        assert "† conditional on one encoder" in said
    assert "no difference is established" in shown(records)
    assert "±2.3†" in text(conditions_table(summaries, "val/accuracy", False))


def test_what_is_not_tested_does_not_count_for_holm() -> None:
    arms = replicates(0.4, "none", LOW) + replicates(0.4, "barlow_twins", HIGH)
    alone, with_more = arms, arms + configured(replicates(0.4, "simclr", HIGH), SHARED)
    (p,) = (each.p_adjusted for each in compare(summarise(alone, True)))
    adjusted = [each.p_adjusted for each in compare(summarise(with_more, True))]
    assert sorted(adjusted, key=str) == [p, None, None]


def test_without_sharing_nothing_is_marked() -> None:
    own = {"pretrain": {"method": "simclr", "epochs": 5}, "pretrain_seed": "per_replicate"}
    scratch = {"pretrain": {"method": "none"}, "pretrain_seed": "shared"}
    records = configured(replicates(0.4, "none", LOW), scratch)
    records += configured(replicates(0.4, "simclr", HIGH), own)
    assert "†" not in shown(records)
    assert "simclr above none" in shown(records)


def test_places_of_one_finding_are_listed_together() -> None:
    records = [
        each
        for rate in (0.2, 0.6)
        for method, values in (("none", LOW), ("simclr", HIGH))
        for each in replicates(rate, method, values)
    ]
    summaries = summarise(records, True)
    assert verdict(summaries, compare(summaries)).endswith(
        "simclr above none (noise.rate=0.2, noise.rate=0.6)"
    )
