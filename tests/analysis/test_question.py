"""What is known of each pair that a sweep asks about."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_tables import replicates, trial

from noisetune.analysis.comparisons import comparisons_table
from noisetune.analysis.families import asked_pairs, with_new
from noisetune.analysis.question import Answer, Question, answers
from noisetune.analysis.summaries import ConditionSummary, summarise
from noisetune.predictions import Predictions, PredictionsFolder, pack
from noisetune.records import Claim, TrialRecord

LOW = [0.50, 0.51, 0.53, 0.52, 0.50, 0.54, 0.51, 0.53]
HIGH = [0.70, 0.72, 0.735, 0.71, 0.72, 0.73, 0.70, 0.74]


def question_about(summaries: list[ConditionSummary], **more: Any) -> Question:
    cells = [(summary.name, summary.factors) for summary in summaries]
    return Question(tuple(with_new([], asked_pairs(cells), {})), **more)


def answered(records: list[TrialRecord], choice: Any = "noisy_best", **more: Any) -> list[Answer]:
    summaries = summarise(records, True)
    return answers(summaries, question_about(summaries, **more), choice)


def both(low: list[float] = LOW, high: list[float] = HIGH) -> list[TrialRecord]:
    return replicates(0.4, "none", low) + replicates(0.4, "simclr", high)


def test_differences_are_paired_by_replicate_seed() -> None:
    (found,) = answered(both([0.5, 0.7, 0.6], [0.6, 0.8]))
    assert (found.fixed.a, found.fixed.b) == (
        "noise.rate=0.4 pretrain.method=simclr",
        "noise.rate=0.4 pretrain.method=none",
    )
    assert found.fixed.difference.mean == pytest.approx(0.1)
    assert found.fixed.difference.n == 2


def test_without_replicates_there_is_no_difference() -> None:
    (found,) = answered([trial(method="none"), trial(method="simclr")])
    assert (found.fixed.difference.mean, found.fixed.p, found.spread) == (None, None, None)


def test_a_choice_that_is_not_asked_about_has_no_verdict() -> None:
    (asked,), (other,) = answered(both()), answered(both(), "last")
    assert asked.verdict is not None
    assert asked.verdict.claim == "above"
    assert other.verdict is None
    assert other.fixed == asked.fixed


def test_the_realised_correlation_and_spread() -> None:
    (found,) = answered(both(LOW, [each + 0.1 for each in LOW[:-1]] + [0.7]))
    assert found.correlation is not None
    assert found.correlation > 0.5
    assert found.spread is not None
    assert found.spread == pytest.approx(0.025, abs=0.01)


def test_what_was_claimed_stays_claimed() -> None:
    names = "noise.rate=0.4 pretrain.method=simclr", "noise.rate=0.4 pretrain.method=none"
    claims = (Claim(*names, "above", 6, 0, 0.05), Claim(*names, "equal", 7, 0, 0.05))
    (found,) = answered(both(LOW, LOW[::-1]), claims=claims, margin=0.01)
    assert found.verdict is not None
    assert (found.verdict.claim, found.verdict.at_n) == ("above", 6)
    assert (found.verdict.equal, found.verdict.equal_at_n) == (True, 7)


def test_a_running_replicate_holds_back_those_after_it() -> None:
    records = both()
    records[2] = replace(records[2], state="running", metrics={})
    (found,) = answered(records)
    assert found.verdict is not None
    assert found.verdict.n == 2
    assert found.fixed.difference.n == 7


def test_a_diverged_replicate_counts_and_the_verdict_without_it_is_there() -> None:
    records = both()
    records[-1] = replace(
        records[-1], state="failed", diverged=True,
        metrics={"test/accuracy_at_noisy_best": 0.1},
    )  # fmt: skip
    (found,) = answered(records)
    assert found.diverged == {"noise.rate=0.4 pretrain.method=simclr": 1}
    assert found.fixed.difference.n == 8
    assert found.verdict is not None
    assert found.without is not None
    assert (found.verdict.n, found.without.n) == (8, 7)
    assert answered(both())[0].without is None


def test_the_sampling_error_of_the_test_images_stands_beside(tmp_path: Path) -> None:
    records, folder = both(), PredictionsFolder(tmp_path)
    rng = np.random.default_rng(0)
    for record in records:
        true = np.arange(300) % 3
        wrong = rng.random(300) < (0.5 if "none" in record.name else 0.2)
        guess = np.where(wrong, (true + 1) % 3, true)
        each = {"noisy_best": guess}
        sure = {"noisy_best": np.full(300, 0.5, dtype=np.float16)}
        folder.write(record.name, pack(Predictions(each, sure, true, true)))
    summaries = summarise(records, True)
    (found,) = answers(summaries, question_about(summaries), "noisy_best", folder)
    assert found.images is not None
    assert found.images.n == 300
    assert found.images.mean == pytest.approx(0.3, abs=0.05)
    table = comparisons_table(summaries, question_about(summaries), predictions=folder)
    assert "(±" in str(list(table.columns[1].cells))
    assert answered(records)[0].images is None


def test_collapsed_seeds_are_counted() -> None:
    (found,) = answered(both(LOW, [*HIGH[:-1], 0.1]))
    assert found.low == {"noise.rate=0.4 pretrain.method=simclr": 1}
