"""A tracking store that was emptied, put back, moved, or that lost a run: it has all again."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient
from mlflow_stories import STORY, Place, artifacts, begun, ended, look, point, started

from noisetune.tracking.database import correct_addresses, database_file
from noisetune.tracking.messages import Message
from noisetune.tracking.mlflow_runs import make_database
from noisetune.tracking.outbox import Outbox
from noisetune.tracking.tracker import open_tracker, tell_whole


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a run, to be copied: making one takes a second."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    make_database(f"sqlite:///{file}")
    return file


def store(folder: Path, database: Path) -> Place:
    """A tracking store in a folder, which begins as a copy of a database."""
    folder.mkdir(parents=True)
    shutil.copy(database, folder / "mlflow.db")
    return place(folder)


def place(folder: Path) -> Place:
    return Place(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


def tell(where: Place, outbox: Path, messages: Sequence[Message] = ()) -> None:
    """What a driver does: all that waits, and these."""
    box = Outbox(outbox)
    for each in messages:
        box.append(each)
    tracker = open_tracker(where.uri, "mine", outbox, where.artifacts, identity="i")
    tracker.patience = 5.0
    assert tracker.close()


def everything(where: Place) -> tuple[Any, ...]:
    return look(where, "mine"), artifacts(where, "mine")


trials = st.sampled_from(["t 0", "t 1", "it's t=2"])
values = st.dictionaries(st.sampled_from(["loss", "val/accuracy", "odd (name)"]), st.floats(0, 1))


@st.composite
def lives(draw: st.DrawFn) -> list[Message]:
    """A sweep that was told of while trials ran, were stopped, taken up again, and ended."""
    told = [begun(a=1)]
    for _ in range(draw(st.integers(1, 12))):
        trial, made = draw(trials), 10.0 + len(told)
        told.append(started(trial, made, lr=draw(st.floats(0, 1))))
        step = draw(st.integers(1, 4))
        told.append(point(trial, step, made + 0.25) | {"values": draw(values)})
        state = draw(st.sampled_from(["complete", "pruned", "failed", "interrupted"]))
        result = {"result": {"step": step}} if state == "complete" else {}
        told.append(ended(trial, state, made + 0.5, "why", values=draw(values), **result))
        if draw(st.booleans()):
            told.append({"kind": "sweep", "state": "interrupted", "parameters": {}, "made": made})
            told.append(begun(made, a=draw(st.integers(1, 2))))
    best = {"kind": "artifact", "trial": "", "path": "best/a.yaml", "text": "a: 1", "made": 99.0}
    return [*told, best, {"kind": "sweep", "state": "complete", "parameters": {}, "made": 100.0}]


@pytest.mark.long
@settings(max_examples=5)
@given(lives(), st.data())
def test_a_database_that_was_emptied_or_put_back_is_rebuilt_row_for_row(
    empty: Path, told: list[Message], data: st.DataObject
) -> None:
    backed_up = data.draw(st.integers(0, len(told)), label="messages before the backup")
    with TemporaryDirectory() as name:
        folder = Path(name)
        outbox, first = folder / "outbox.jsonl", store(folder / "first", empty)
        tell(first, outbox, told[:backed_up])
        shutil.copytree(folder / "first", folder / "older")
        tell(first, outbox, told[backed_up:])
        tell(place(folder / "older"), outbox)
        tell(emptied := store(folder / "emptied", empty), outbox)
        assert everything(place(folder / "older")) == everything(first)
        assert everything(emptied) == everything(first)


def test_what_is_told_already_is_not_told_again(empty: Path, tmp_path: Path) -> None:
    where, outbox = store(tmp_path / "mlruns", empty), tmp_path / "outbox.jsonl"
    tell(where, outbox, STORY)
    again = where.runs("mine")  # of no identity: an earlier sweep
    assert again.kept == ""
    note = Outbox(outbox).note(outbox.stat().st_size)
    client = MlflowClient(where.uri)
    experiment = client.get_experiment_by_name("mine")
    runs = client.search_runs([experiment.experiment_id], "tags.noisetune.told != ''")
    assert [run.data.tags["noisetune.told"] for run in runs] == [note]


@pytest.mark.parametrize("purged", [False, True])
@pytest.mark.parametrize("trial", ["t", ""])
def test_a_run_that_was_deleted_comes_back_whole(
    empty: Path, tmp_path: Path, trial: str, purged: bool
) -> None:
    where, outbox = store(tmp_path / "mlruns", empty), tmp_path / "outbox.jsonl"
    story = [begun(a=1), started("t", lr=0.5), point("t", 1, 3.0, loss=0.5)]
    rest = [point("t", 2, 4.0, loss=0.25), ended("t", "complete", 5.0)]
    tell(where, outbox, story)
    client = MlflowClient(where.uri)
    experiment = client.get_experiment_by_name("mine")
    for run in client.search_runs([experiment.experiment_id]):
        if run.data.tags.get("noisetune.trial", "") == trial:
            client.delete_run(run.info.run_id)
            if purged:
                client._tracking_client.store._hard_delete_run(run.info.run_id)
    tell(where, outbox, rest)
    undisturbed = store(tmp_path / "undisturbed", empty)
    tell(undisturbed, tmp_path / "other.jsonl", [*story, *rest])
    assert everything(where) == everything(undisturbed)


def test_a_run_that_is_deleted_while_it_is_told_of_is_restored(empty: Path, tmp_path: Path) -> None:
    where, outbox = store(tmp_path / "mlruns", empty), tmp_path / "outbox.jsonl"
    tell(where, outbox, [begun(), started("t", lr=0.5)])
    runs = where.runs("mine")
    runs.identity = "i"
    runs._runs = runs._existing_runs()
    runs.apply([point("t", 1, 3.0, loss=0.5)])
    runs.client.delete_run(runs._runs["t"])
    box = Outbox(outbox)
    box.append(point("t", 2, 4.0, loss=0.25))
    tell(where, outbox)
    assert [row[1] for row in look(where, "mine")["t"].rows] == [1, 2]
    assert not box.refused.exists()


def test_mlruns_can_be_moved_as_a_whole(empty: Path, tmp_path: Path) -> None:
    where, outbox = store(tmp_path / "old" / "mlruns", empty), tmp_path / "outbox.jsonl"
    tell(where, outbox, STORY)
    before = everything(where)
    shutil.move(tmp_path / "old", tmp_path / "new # place")
    moved = place(tmp_path / "new # place" / "mlruns")
    more = {"kind": "artifact", "trial": "t 0", "path": "more/b.txt", "text": "b", "made": 20.0}
    tell(moved, outbox, [more])
    after, found = everything(moved)
    assert after == before[0]
    assert found.pop("t 0") == before[1]["t 0"] | {"more/b.txt": "b"}
    assert found == {trial: texts for trial, texts in before[1].items() if trial != "t 0"}
    assert not (tmp_path / "old").exists()


def test_a_copy_of_mlruns_writes_to_its_own_artifacts(empty: Path, tmp_path: Path) -> None:
    where, outbox = store(tmp_path / "mlruns", empty), tmp_path / "outbox.jsonl"
    tell(where, outbox, STORY)
    before = everything(where)
    shutil.copytree(tmp_path / "mlruns", tmp_path / "copy")
    more = {"kind": "artifact", "trial": "", "path": "best/a.yaml", "text": "a: 2", "made": 20.0}
    tell(place(tmp_path / "copy"), outbox, [more])
    assert everything(where) == before
    assert everything(place(tmp_path / "copy"))[1][""] == {"best/a.yaml": "a: 2"}


def test_addresses_that_are_not_ours_stay(empty: Path, tmp_path: Path) -> None:
    where = store(tmp_path / "mlruns", empty)
    client, bucket = MlflowClient(where.uri), "s3://bucket/artifacts/mine"
    client.create_experiment("mine", artifact_location=bucket)
    client.create_experiment("other", artifact_location="file:///elsewhere/artifacts/other")
    for sweep in ("mine", "other"):
        file = database_file(where.uri)
        assert file is not None
        correct_addresses(file, tmp_path / "far" / "artifacts", sweep)
        correct_addresses(file, tmp_path / "mlruns" / "artifacts", "mine")
    found = [client.get_experiment_by_name(each) for each in ("mine", "other")]
    assert [each.artifact_location for each in found] == [
        bucket,
        "file:///elsewhere/artifacts/other",
    ]


def test_what_mlflow_never_takes_is_set_aside_and_the_rest_is_told(
    empty: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where, outbox = store(tmp_path / "mlruns", empty), tmp_path / "outbox.jsonl"
    never: list[Message] = [
        {"kind": "artifact", "trial": "t", "path": "n" * 300, "text": "", "made": 3.0},
        {"kind": "artifact", "trial": "t", "path": "../out", "text": "", "made": 3.0},
        {"kind": "point", "trial": "t", "made": 3.0},
        {"kind": "tags", "trial": "t", "tags": {"a": "\ud800"}, "made": 3.0},
    ]
    rest = [point("t", 2, 4.0, loss=0.25), ended("t", "complete", 5.0, result={"x": 1})]
    tell(where, outbox, [begun(), started("t", lr=0.5), *never, *rest])
    named = [record.message for record in caplog.records if "set aside" in record.message]
    assert [line.split()[4] for line in named] == ["artifact", "artifact", "point", "tags"]
    box = Outbox(outbox)
    aside = box.refused.read_text().splitlines()
    assert len(aside) == len(never)
    seen = look(where, "mine")["t"]
    assert (seen.status, seen.rows, seen.result) == ("FINISHED", [("loss", 2, 0.25, 4000)], True)
    tell(store(tmp_path / "emptied", empty), outbox)
    assert box.refused.read_text().splitlines() == aside


def test_an_artifact_that_cannot_be_written_holds_up_nothing(empty: Path, tmp_path: Path) -> None:
    where, outbox = store(tmp_path / "mlruns", empty), tmp_path / "outbox.jsonl"
    (tmp_path / "mlruns" / "artifacts").touch()
    tell(where, outbox, [begun(), started("t"), ended("t", "complete", 5.0, result={"x": 1})])
    seen = look(where, "mine")["t"]
    assert (seen.status, seen.result) == ("FINISHED", False)
    assert len(Outbox(outbox).refused.read_text().splitlines()) == 1


def test_a_sweep_is_told_whole_to_any_store(empty: Path, tmp_path: Path) -> None:
    where, outbox = store(tmp_path / "mlruns", empty), tmp_path / "outbox.jsonl"
    tell(where, outbox, STORY)
    team = store(tmp_path / "team", empty)
    for _ in range(2):
        refused = tell_whole(STORY, team.uri, "mine", team.artifacts, "i", driven=True)
        assert refused == []
        assert everything(team) == everything(where)
