import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.analysis.trial_figures import confusion_figure, curves_figure
from noisetune.analysis.trial_tables import (
    MOST_ISSUES,
    confusion,
    confusion_rows,
    confusions,
    issue_rows,
)
from noisetune.predictions import Predictions

NAMES = ("cat", "dog", "owl")
CLEAN = np.array([0, 1, 2, 1])
GIVEN = np.array([0, 2, 2, 1])
SEEN = {"noisy_best": np.array([0, 1, 1, 1])}
SURE = {"noisy_best": np.array([0.5, 0.75, 1.0, 0.25], dtype=np.float16)}
SCORES = {"a": np.array([0.1, 0.9, 0.5, 0.2], dtype=np.float32)}
TEST = Predictions(SEEN, SURE, CLEAN, GIVEN, SCORES)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=50))
def test_every_pair_of_labels_is_counted_in_its_cell(pairs: list[tuple[int, int]]) -> None:
    rows, columns = np.array(pairs, dtype=np.int16).reshape(-1, 2).T
    counts = confusion(rows, columns, 5)
    assert counts.tolist() == [[pairs.count((r, c)) for c in range(5)] for r in range(5)]


def test_clean_given_and_predicted_labels_are_set_against_each_other() -> None:
    matrices = confusions(TEST, "noisy_best", 3)
    assert list(matrices) == [("clean", "predicted"), ("given", "predicted"), ("clean", "given")]
    heading, *rows = confusion_rows(matrices, NAMES)
    assert heading == ("rows", "columns", "row", "column", "count")
    assert ("clean", "predicted", "dog", "dog", 2) in rows
    assert ("given", "predicted", "owl", "dog", 2) in rows
    assert ("clean", "given", "dog", "owl", 1) in rows


def test_labels_of_training_images_meet_no_prediction() -> None:
    found = Predictions(SEEN, SURE, CLEAN, GIVEN[:2], {"a": SCORES["a"][:2]}, np.array([7, 30]))
    assert list(confusions(found, "noisy_best", 3)) == [("clean", "predicted")]
    heading, *rows = issue_rows(found, "noisy_best", NAMES)
    assert heading == ("image", "given", "score a")
    assert [row[:2] for row in rows] == [(30, "owl"), (7, "cat")]


def test_the_likeliest_error_comes_first() -> None:
    heading, *rows = issue_rows(TEST, "noisy_best", NAMES)
    assert heading == (
        "image", "given", "predicted", "probability", "clean", "is_error", "score a",
    )  # fmt: skip
    assert rows[0][:6] == (1, "owl", "dog", 0.75, "dog", True)
    assert [row[0] for row in rows] == [1, 2, 3, 0]


def test_a_table_of_errors_has_an_end_and_none_without_a_detector() -> None:
    many = np.zeros(MOST_ISSUES + 5, dtype=np.int64)
    sure = {"last": many.astype(np.float16)}
    found = Predictions({"last": many}, sure, many, many, {"a": many.astype(np.float32)})
    assert len(list(issue_rows(found, "last", NAMES))) == 1 + MOST_ISSUES
    assert list(issue_rows(Predictions(SEEN, SURE, CLEAN, GIVEN), "noisy_best", NAMES)) == []


@pytest.mark.parametrize("classes", [3, 30])
def test_figures_are_png_and_the_same_twice(classes: int) -> None:
    names = [str(number) for number in range(classes)]
    curves = {"val/accuracy": {1: 0.25, 2: 0.5}, "train/loss": {1: 2.0}, "other": {1: 0.0}}
    drawn = [
        (confusion_figure(confusions(TEST, "noisy_best", classes), names), curves_figure(curves))
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert all((each or b"").startswith(b"\x89PNG") for each in drawn[0])
    assert curves_figure({"other": {1: 0.0}}) is None
