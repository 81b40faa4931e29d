"""What a person sees of a run: its name, description, source, data, parameters, files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.tracking import MlflowClient
from mlflow_stories import TRIAL, Place, artifacts, ended, look, point, started

from noisetune.tracking.about import About, DataSet
from noisetune.tracking.messages import Message, new_message, started_message, sweep_message
from noisetune.tracking.mlflow_runs import MlflowRuns
from noisetune.tracking.run_names import Words
from noisetune.tracking.telling import RefusedError

DATA = DataSet("digits", "0123456789abcdef" * 2, {"name": "digits"}, {"num_rows": 90})
SOURCE = {
    "mlflow.user": "ada",
    "mlflow.source.name": "noisetune sweep sweeps/mine.yaml",
    "mlflow.source.type": "LOCAL",
    "mlflow.source.git.commit": "0" * 40,
}
ABOUT = About({TRIAL.condition: Words("r0.4")}, SOURCE, lambda config: [DATA])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("mlflow")
    return Place(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@pytest.fixture
def sweep(request: pytest.FixtureRequest) -> str:
    return request.node.name[:90].replace("[", "-").replace("]", "")


def begun(note: str = "# begun") -> Message:
    return sweep_message("running", {"a": 1}, 1.0, note=note, **ABOUT.of_sweep())


def runs_of(place: Place, sweep: str) -> dict[str, Any]:
    client = MlflowClient(place.uri)
    experiment = client.get_experiment_by_name(sweep)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return {run.data.tags.get("noisetune.trial", ""): run for run in found}


def test_a_run_has_all_that_a_page_shows(place: Place, sweep: str) -> None:
    for _ in range(2):
        place.runs(sweep).apply([begun(), started_message(TRIAL, 2.0, ABOUT)])
    run = runs_of(place, sweep)[TRIAL.name]
    assert run.info.run_name == "r0.4 t0"
    assert run.data.params == {"noise.rate": "0.4", "finetune.lr": "0.01"}
    note = run.data.tags["mlflow.note.content"]
    assert "Condition `noise.rate=0.4`, search trial 0." in note
    assert run.data.tags.items() >= (SOURCE | {"noise.rate": "0.4", "noisetune.seed": "0"}).items()
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", DATA.digest)
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    assert yaml.safe_load(artifacts(place, sweep)[TRIAL.name]["config.yaml"]) == TRIAL.config


def test_a_sweep_is_no_evaluation_of_a_language_model(place: Place, sweep: str) -> None:
    place.runs(sweep).apply([begun()])
    experiment = MlflowClient(place.uri).get_experiment_by_name(sweep)
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_description_of_the_sweep_is_the_last_one_that_was_told(
    place: Place, sweep: str
) -> None:
    end = sweep_message("complete", {}, 9.0, note="# the end", **ABOUT.of_sweep())
    story = [begun(), begun("# resumed"), end]
    for messages, note in ((story[:1], "# begun"), (story[:2], "# resumed"), (story, "# the end")):
        for _ in range(2):
            place.runs(sweep).apply(messages)
        parent = runs_of(place, sweep)[""]
        assert parent.data.tags["mlflow.note.content"] == note
        assert parent.data.tags.items() >= SOURCE.items()


def test_a_run_of_an_earlier_version_is_taken_up_and_gets_what_it_lacks(
    place: Place, sweep: str
) -> None:
    whole = {"finetune.lr": 0.01, "finetune.epochs": 3, "noise.rate": 0.4}
    earlier = started(TRIAL.name, 2.0, **whole)
    place.runs(sweep).apply([begun(), earlier, ended(TRIAL.name, "interrupted", 3.0)])
    place.runs(sweep).apply([begun(), started_message(TRIAL, 4.0, ABOUT)])
    run = runs_of(place, sweep)[TRIAL.name]
    assert (run.info.run_name, run.info.status) == ("r0.4 t0", "RUNNING")
    assert run.data.params == {name: str(value) for name, value in whole.items()}
    assert len(run.inputs.dataset_inputs) == 1


def test_epochs_are_the_steps_and_pretraining_has_its_own(place: Place, sweep: str) -> None:
    told = [
        point(TRIAL.name, 50, 3.0, pretrain__loss=1.0),
        point(TRIAL.name, 1, 4.0, val__accuracy=0.5),
        point(TRIAL.name, 2, 5.0, val__accuracy=0.75),
    ]
    place.runs(sweep).apply([begun(), started_message(TRIAL, 2.0, ABOUT), *told])
    rows = [row[:3] for row in look(place, sweep)[TRIAL.name].rows]
    assert rows == [
        ("pretrain/loss", 50, 1.0),
        ("val/accuracy", 1, 0.5),
        ("val/accuracy", 2, 0.75),
    ]


def test_replicates_are_found_by_the_tags_of_their_condition(place: Place, sweep: str) -> None:
    for rate in (0.2, 0.4):
        for number in range(2):
            again = replace(
                TRIAL,
                name=f"{rate} {number}",
                condition=f"noise.rate={rate}",
                factors={"noise.rate": rate},
                kind="replicate",
                number=number,
            )
            place.runs(sweep).apply([begun(), started_message(again, 2.0, ABOUT)])
    runs = place.runs(sweep)
    wanted = "tags.`noise.rate` = '0.4' and tags.`noisetune.kind` = 'replicate'"
    found = runs.client.search_runs([runs.experiment], wanted)
    assert sorted(run.data.tags["noisetune.replicate"] for run in found) == ["0", "1"]
    assert {run.data.tags["noisetune.condition"] for run in found} == {"noise.rate=0.4"}


def test_a_file_of_the_sweeps_folder_is_an_artifact(
    place: Place, sweep: str, tmp_path: Path
) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "curves.csv").write_text("step\n")
    told = new_message("file", trial="", path="figures/curves.csv", file="trials/curves.csv")
    runs = MlflowRuns(place.uri, sweep, place.artifacts, folder=tmp_path)
    runs.apply([begun(), told, told])
    assert artifacts(place, sweep)[""] == {"figures/curves.csv": "step\n"}


@pytest.mark.parametrize("file", ["../secret", "/etc/hostname", "gone.csv"])
def test_a_file_from_elsewhere_or_one_that_is_gone_is_refused(
    place: Place, sweep: str, tmp_path: Path, file: str
) -> None:
    (tmp_path.parent / "secret").write_text("x")
    runs = MlflowRuns(place.uri, sweep, place.artifacts, folder=tmp_path)
    told = new_message("file", trial="", path="a.csv", file=file)
    with pytest.raises(RefusedError, match=r"not in the sweep's folder|not there any more"):
        runs.apply([begun(), told])
    assert artifacts(place, sweep)[""] == {}


def test_what_the_machine_does_stands_on_the_run_of_the_sweep(place: Place, sweep: str) -> None:
    name = "system/cpu_utilization_percentage"
    told = new_message("system", 7.5, step=7, values={name: 50.0})
    place.runs(sweep).apply([begun(), told])
    place.runs(sweep).apply([told])
    assert look(place, sweep)[""].rows == [(name, 7, 50.0, 7500)]
