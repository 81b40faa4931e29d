"""`noisetune labels` writes the labels that a configuration is trained on."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from noisetune.config import TrialConfig
from noisetune.stages.labels import draw_labels


def test_they_are_those_of_the_trial(
    tmp_path: Path, tiny_trial: Callable[..., TrialConfig], noisetune: Callable[..., Any]
) -> None:
    trial = tiny_trial(replicate=3)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(trial.to_json()))
    said = noisetune("labels", tmp_path / "mine.yaml", "--out", tmp_path / "labels.csv")
    assert said.code == 0, said.err
    with (tmp_path / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    data = trial.data.load()
    drawn = draw_labels(trial, data)
    train, test = rows[: len(drawn.train)], rows[len(drawn.train) :]
    assert [row["noisy"] for row in train] == [data.class_names[n] for n in drawn.train]
    assert [row["clean"] for row in train] == [data.class_names[n] for n in data.y_train]
    assert drawn.test is not None
    assert [row["noisy"] for row in test] == [data.class_names[n] for n in drawn.test]
    for part in ("fit", "validation"):
        places = [int(row["index"]) for row in train if row["part"] == part]
        assert places == getattr(drawn, part).tolist()
    assert {row["part"] for row in test} == {"test"}


def test_a_file_that_cannot_be_written(tmp_path: Path, noisetune: Callable[..., Any]) -> None:
    (tmp_path / "mine.yaml").write_text("{}\n")
    said = noisetune("labels", tmp_path / "mine.yaml", "--out", tmp_path / "none" / "labels.csv")
    assert (said.code, "--out" in said.err) == (2, True)
