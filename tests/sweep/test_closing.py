"""What a finished sweep leaves in MLflow: descriptions, files of its winners, models."""

import csv
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from real_sweep import SWEEP, TRIAL, without_ray

from noisetune import SweepResults, run_sweep
from noisetune.config import TrialConfig
from noisetune.sweep.home import Home
from noisetune.tracking.outbox import Outbox, read_messages

SPACE = {
    "conditions": {"pretrain.method": ["none", "simclr"]},
    "parameters": {"finetune.lr": {"choices": [0.001, 0.003]}},
}
CONFIG = {**SWEEP, "name": "mine", "trial": TRIAL, "replicates": 1}


def swept(folder: Path, **options: Any) -> tuple[SweepResults, list[str]]:
    said: list[str] = []
    with without_ray():
        results = run_sweep(CONFIG, SPACE, mlruns=folder, say=said.append, **options)
    return results, said


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> SweepResults:
    options = {"register": True, "system_metrics": True}
    return swept(tmp_path_factory.mktemp("mlruns"), **options)[0]


def runs(home: Home) -> dict[str, Run]:
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return {run.data.tags.get("noisetune.trial", ""): run for run in found}


def files(run: Run) -> dict[str, Path]:
    folder = Path(unquote(urlsplit(run.info.artifact_uri or "").path))
    return {str(each.relative_to(folder)): each for each in folder.rglob("*") if each.is_file()}


@pytest.fixture
def registry(results: SweepResults) -> Iterator[MlflowClient]:
    """MLflow keeps an address in the environment, too: commands of later tests would take it."""
    mlflow.set_tracking_uri(results.home.tracking_uri)
    yield MlflowClient()
    mlflow.set_tracking_uri(None)
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_description_of_the_sweep_is_its_best_table(results: SweepResults) -> None:
    note = runs(results.home)[""].data.tags["mlflow.note.content"]
    assert note.startswith("Sweep `mine` is complete: 6 trials of 6, 6 complete.\n")
    assert "| method | trials | chosen |" in note
    assert "| simclr | 2 done | lr " in note


def test_every_run_has_source_data_and_a_short_name(results: SweepResults) -> None:
    found = runs(results.home)
    names = {run.info.run_name for trial, run in found.items() if trial}
    numbers = ["t0", "t1", "R0"]
    assert names == {f"{each} {number}" for each in ("none", "simclr") for number in numbers}
    digests = set()
    for trial, run in found.items():
        assert run.data.tags.keys() >= {"mlflow.user", "mlflow.source.name", "mlflow.source.type"}
        if trial:
            (data,) = run.inputs.dataset_inputs
            digests.add((data.dataset.name, data.dataset.digest))
    config = TrialConfig.parse({"data": TRIAL["data"]}, "the test")
    assert digests == {("digits", config.data.load().fingerprint)}


def test_winners_and_replicates_have_curves_confusion_and_label_errors(
    results: SweepResults,
) -> None:
    winners = set(results.winners()["trial"])
    closely = winners | set(results.trials().query("kind == 'replicate'")["trial"])
    for trial, run in runs(results.home).items():
        found = files(run)
        if trial not in closely:
            assert "curves.csv" not in found
            continue
        drawn = {"curves.png", "confusion.png"} & found.keys()
        assert len(drawn) == (2 if trial in winners else 0)
        rows = list(csv.DictReader(io.StringIO(found["confusion.csv"].read_text())))
        counts = {("clean", "predicted"): 0, ("given", "predicted"): 0, ("clean", "given"): 0}
        for row in rows:
            counts[row["rows"], row["columns"]] += int(row["count"])
        assert set(counts.values()) == {TRIAL["data"]["test_samples"]}
        issues = list(csv.DictReader(io.StringIO(found["label_issues.csv"].read_text())))
        (score,) = (column for column in issues[0] if column.startswith("score "))
        scores = [float(row[score]) for row in issues]
        assert scores == sorted(scores, reverse=True)
        assert {row["is_error"] for row in issues} == {"True", "False"}


def test_a_winner_is_a_model_that_gives_probabilities(
    results: SweepResults, registry: MlflowClient
) -> None:
    winners = results.winners().set_index("pretrain.method")["trial"]
    data = TrialConfig.parse({"data": TRIAL["data"]}, "the test").data.load()
    images = data.x_test.permute(0, 2, 3, 1).numpy()
    for method, trial in winners.items():
        name = f"mine-pretrain.method={method}"
        version = registry.get_model_version_by_alias(name, "best")
        assert version.run_id == runs(results.home)[trial].info.run_id
        model = mlflow.pyfunc.load_model(f"models:/{name}@best")
        probabilities = model.predict(images)
        assert probabilities.shape == (len(images), data.classes)
        assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
        # What the trial itself predicted at that epoch.
        kept = results.predictions(trial)
        assert kept is not None
        assert np.array_equal(probabilities.argmax(1), kept.predicted["noisy_best"])
        with pytest.raises(mlflow.MlflowException):
            model.predict(images[:, :4])


def test_nothing_of_a_model_is_pickled(results: SweepResults) -> None:
    found = [file for run in runs(results.home).values() for file in files(run)]
    model = [Path(file).name for file in found if file.startswith("model/")]
    assert model.count("network.safetensors") == model.count("mlflow_model.py") == 2
    assert not any(name.endswith((".pkl", ".pickle", ".pt", ".pth")) for name in model)


def test_the_machine_is_watched_where_that_is_asked_for(results: SweepResults) -> None:
    metrics = runs(results.home)[""].data.metrics
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100
    assert metrics["system/system_memory_usage_megabytes"] > 0


def test_the_end_of_a_finished_sweep_is_told_again_without_its_files(
    results: SweepResults, registry: MlflowClient
) -> None:
    def told() -> int:
        outbox = read_messages(results.home.outbox("mine"))
        return sum(each["kind"] == "file" for each in outbox)

    before = told()
    swept(results.home.root, resume=True, register=True)
    assert before == told() > 0
    for model in registry.search_registered_models():
        assert len(registry.search_model_versions(f"name='{model.name}'")) == 1


@pytest.mark.long
def test_a_damaged_file_is_named_and_the_others_have_theirs(tmp_path: Path) -> None:
    results, _ = swept(tmp_path, share=False)
    folder = results.home.sweep("mine")
    trial = results.winners()["trial"][0]
    results.home.predictions("mine").file(trial).write_bytes(b"damaged")
    kept = [each for each in read_messages(results.home.outbox("mine")) if each["kind"] != "file"]
    results.home.outbox("mine").unlink()
    outbox = Outbox(results.home.outbox("mine"))
    for each in kept:
        outbox.append(each)
    shutil.rmtree(folder / "trials")
    _, said = swept(tmp_path, resume=True, share=False)
    assert any(line.startswith(f"no figures of {trial}: ") for line in said)
    assert len(list((folder / "trials").iterdir())) == 3


@pytest.mark.long
def test_what_no_store_has_is_said_and_not_registered(
    tmp_path: Path, results: SweepResults
) -> None:
    _, said = swept(tmp_path, share=False, register=True)
    assert "--register: without shared stages no winner's weights were kept" in said
    home = Home(tmp_path)
    assert not any(each["kind"] == "model" for each in read_messages(home.outbox("mine")))
    # They were kept once, and a clean-up evicted them.
    _, said = swept(tmp_path, resume=True, register=True)
    gone = [line for line in said if line.endswith("its weights are in the store no more")]
    assert len(gone) == 2
