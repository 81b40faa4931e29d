"""Detectors side by side."""

from dataclasses import replace
from typing import Any

import pytest
from test_metric_tables import lines
from test_tables import one, replicates, trial

from noisetune.analysis.detectors import detector_scores, detector_tables, detectors_of
from noisetune.analysis.rendering import cells_of
from noisetune.analysis.summaries import summarise
from noisetune.records import TrialRecord

FIRST = {"detect": {"method": "confident_learning"}}
AREAS = {"detect/auroc": 0.9, "detect/f1": 0.7, "detect/knn_10/auroc": 0.8, "detect/knn_10/f1": 0.6,
         "detect/wrong_events/auroc": 0.95, "detect/wrong_events/f1": None}  # fmt: skip


def looked_at(metrics: dict[str, Any], seeds: int = 3) -> list[TrialRecord]:
    return [
        replace(
            each,
            config=each.config | FIRST,
            metrics=each.metrics
            | {name: value and value + each.seed / 1000 for name, value in metrics.items()},
        )
        for each in replicates(0.4, "simclr", [0.5] * seeds)
    ]


def test_a_row_for_each_detector_of_a_condition() -> None:
    (table,) = detector_tables(summarise(looked_at(AREAS), True))
    rows = [[cell.plain for cell in row] for row in cells_of(table)]
    assert [str(column.header) for column in table.columns] == [
        *("rate", "method", "detector", "n", "AUROC", "AUPRC", "precision @K", "F1")
    ]
    assert [row[2] for row in rows] == ["confident learning", "knn 10", "wrong events"]
    assert [row[4].split("\n")[0] for row in rows] == ["0.902", "0.802", "0.952"]
    assert [row[7].split("\n")[0] for row in rows] == ["0.702", "0.602", ""]
    assert "0.900..0.904" in rows[0][4]


def test_those_of_training_labels_have_a_table_of_their_own() -> None:
    crossed = {
        name.replace("auroc", "cv_auroc").replace("f1", "cv_f1"): value
        for name, value in AREAS.items()
    }
    tables = list(detector_tables(summarise(looked_at(AREAS | crossed), True)))
    assert ["held-out" in str(table.title) for table in tables] == [True, False]
    assert [len(list(cells_of(table))) for table in tables] == [3, 3]


def test_a_single_detector_is_compared_with_none() -> None:
    alone = {name: value for name, value in AREAS.items() if name.count("/") == 1}
    assert list(detector_tables(summarise(looked_at(alone), True))) == []
    assert list(detector_tables(summarise([trial()], True))) == []


def test_where_none_ran_again_the_winner_is_in_brackets() -> None:
    (search,) = (replace(trial(), metrics=dict(AREAS), config={"replicate": 0} | FIRST),)
    (table,) = detector_tables(summarise([search], True))
    assert [row[4].plain for row in cells_of(table)] == ["(0.900)", "(0.800)", "(0.950)"]


def test_detectors_as_intervals_by_name() -> None:
    summary = one(looked_at(AREAS))
    assert detectors_of(summary) == {
        "": "confident_learning", "knn_10/": "knn_10", "wrong_events/": "wrong_events",
    }  # fmt: skip
    found = detector_scores(summary)
    assert found["knn_10"].keys() == {"auroc", "f1"}
    assert found["wrong_events"].keys() == {"auroc"}
    assert found["wrong_events"]["auroc"].mean == pytest.approx(0.952)


def test_it_fits_a_terminal() -> None:
    (table,) = detector_tables(summarise(looked_at(AREAS, 8), True))
    assert max(map(len, lines(table))) <= 80
