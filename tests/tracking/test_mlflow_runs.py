import math
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from mlflow_stories import STORY, TRIAL, Place, Seen, begun, ended, look, point, started

from noisetune.errors import UserError
from noisetune.records import MetricPoint, TrialResult
from noisetune.texts import shortened
from noisetune.tracking.mlflow_runs import MlflowRuns
from noisetune.tracking.names import safe_name
from noisetune.tracking.telling import RefusedError
from noisetune.tracking.tracker import check_tracking, open_tracker

WRITES = {
    "create_run",
    "log_batch",
    "log_inputs",
    "update_run",
    "set_terminated",
    "delete_tag",
    "set_tag",
    "create_experiment",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A database that the tests share, each with sweeps of its own: making one takes a second."""
    folder = tmp_path_factory.mktemp("ml flow")
    return Place(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@pytest.fixture
def sweep(request: pytest.FixtureRequest) -> str:
    return request.node.name[:90].replace("[", "-").replace("]", "")


def test_a_sweep_is_one_parent_and_a_child_for_each_trial(place: Place, sweep: str) -> None:
    place.runs(sweep).apply(STORY)
    seen = look(place, sweep)
    own = {"noisetune.sweep": sweep}
    parent_tags = own | {"mlflow.runName": sweep, "noisetune.state": "complete"}
    assert seen[""] == Seen("FINISHED", 1000, 17000, {"a": "1", "b": "two"}, parent_tags, [], False)
    common = own | {"noisetune.condition": "noise.rate=0.4", "noisetune.kind": "search"}
    assert seen["t 0"] == Seen(
        "FINISHED",
        10000,
        15000,
        {"lr": "0.5"},
        common
        | {
            "mlflow.runName": "t 0",
            "noisetune.state": "complete",
            "noisetune.best": "noise.rate=0.4",
        },
        [
            ("a_at_last", 0, 0.5, 15000),
            ("detect/f1", 0, 0.75, 13000),
            ("train/loss", 1, 0.9, 11000),
            ("train/loss", 2, 0.8, 12000),
            ("val/accuracy", 1, 0.25, 11000),
            ("val/accuracy", 2, 0.5, 12000),
        ],
        True,
    )
    pruned = {"noisetune.state": "pruned", "noisetune.reason": "pruned by median"}
    assert seen["t 1"] == Seen(
        "KILLED",
        11500,
        14000,
        {"lr": "0.25"},
        common | pruned | {"mlflow.runName": "t 1"},
        [("train/loss", 1, 2.0, 12500)],
        False,
    )
    assert sorted(seen) == ["", "t 0", "t 1"]


def test_texts_are_artifacts(place: Place, sweep: str, tmp_path: Path) -> None:
    runs = place.runs(sweep)
    runs.apply(STORY)
    download = runs.client.download_artifacts
    text = download(runs._runs[""], "best/a.yaml", str(tmp_path))
    assert Path(text).read_text() == "a: 1\n"
    result = download(runs._runs["t 0"], "result.json", str(tmp_path))
    assert Path(result).read_text() == '{\n "x": 1\n}'


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("complete", "FINISHED"),
        ("pruned", "KILLED"),
        ("failed", "FAILED"),
        ("interrupted", "KILLED"),
    ],
)
def test_how_a_trial_ended_is_its_status(place: Place, sweep: str, state: str, status: str) -> None:
    place.runs(sweep).apply([begun(), started("t"), ended("t", state, 3.0, "because")])
    seen = look(place, sweep)["t"]
    assert (seen.status, seen.tags["noisetune.state"]) == (status, state)
    assert seen.tags["noisetune.reason"] == "because"


class Dying:
    """A client of MLflow that dies before its n-th write."""

    def __init__(self, client: MlflowClient, writes: int) -> None:
        self._client, self._left = client, writes

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            if not self._left:
                raise ConnectionError(f"died before {name}")
            self._left -= 1
        return getattr(self._client, name)


def without_name(seen: dict[str, Seen]) -> dict[str, Seen]:
    """To compare two sweeps: all but what names them."""
    names = ("noisetune.sweep", "mlflow.runName")
    return {
        trial: run._replace(tags={k: v for k, v in run.tags.items() if k not in names})
        for trial, run in seen.items()
    }


@pytest.mark.long
def test_a_crash_before_any_write_and_a_second_telling_change_nothing(
    place: Place, sweep: str
) -> None:
    place.runs(sweep).apply(STORY)
    undisturbed = without_name(look(place, sweep))
    survived, writes = False, 0
    while not survived:
        name = f"{sweep}-{writes}"
        runs = place.runs(name)
        runs.client = Dying(runs.client, writes)
        try:
            runs.apply(STORY)
            survived = True
        except ConnectionError:
            writes += 1
        place.runs(name).apply(STORY)
        assert without_name(look(place, name)) == undisturbed, f"after {writes} writes"
    assert writes > 12


def test_messages_may_come_in_any_portions_and_again(place: Place, sweep: str) -> None:
    place.runs(f"{sweep}-whole").apply(STORY)
    runs = place.runs(sweep)
    for end in range(len(STORY) + 1):
        runs.apply(STORY[max(0, end - 3) : end])
    runs.apply(STORY)
    assert without_name(look(place, sweep)) == without_name(look(place, f"{sweep}-whole"))


@pytest.mark.parametrize("fresh", [False, True])
def test_an_epoch_computed_again_is_no_second_row(place: Place, sweep: str, fresh: bool) -> None:
    """A resumed trial tells epochs again that no checkpoint held, at a later time."""
    runs = place.runs(sweep)
    runs.apply([begun(), started("t"), point("t", 1, 3.0, a=0.5, b=1.0)])
    runs = place.runs(sweep) if fresh else runs
    again = [started("t", 9.0), point("t", 1, 9.5, a=0.5, b=1.0), point("t", 2, 10.0, a=0.75)]
    runs.apply([begun(), *again])
    rows = [("a", 1, 0.5, 3000), ("a", 2, 0.75, 10000), ("b", 1, 1.0, 3000)]
    assert look(place, sweep)["t"].rows == rows


def test_nothing_is_kept_of_the_rows_of_ended_trials(place: Place, sweep: str) -> None:
    runs = place.runs(sweep)
    runs.apply([begun(), started("t"), point("t", 1, 3.0, a=0.5), ended("t", "complete", 4.0)])
    assert not any(runs._rows.values())


def test_a_trial_that_is_taken_up_again_is_the_same_run(place: Place, sweep: str) -> None:
    first = place.runs(sweep)
    stopped = {"kind": "sweep", "state": "interrupted", "parameters": {}, "made": 4.0}
    first.apply(
        [begun(a=1), started("t", lr=1), ended("t", "interrupted", 3.0, "stopped"), stopped]
    )
    assert look(place, sweep)[""].status == "KILLED"
    resumed = place.runs(sweep)
    resumed.apply([begun(a=1), started("t", 5.0, lr=1)])
    seen = look(place, sweep)
    assert (seen[""].status, seen["t"].status) == ("RUNNING", "RUNNING")
    assert seen["t"].tags["noisetune.state"] == "running"
    assert "noisetune.reason" not in seen["t"].tags
    resumed.apply([ended("t", "complete", 6.0)])
    seen = look(place, sweep)
    assert (seen["t"].status, seen["t"].start, seen["t"].end) == ("FINISHED", 2000, 6000)
    assert resumed._runs == first._runs


def test_a_setting_that_a_resume_changed_is_a_tag(place: Place, sweep: str) -> None:
    place.runs(sweep).apply([begun(trials=8, seed=0)])
    for _ in range(2):
        place.runs(sweep).apply([begun(trials=16, seed=0, new="x")])
    seen = look(place, sweep)[""]
    assert seen.params == {"trials": "8", "seed": "0", "new": "x"}
    assert seen.tags["noisetune.now.trials"] == "16"


@pytest.mark.parametrize(
    "trial",
    [
        'it\'s "quoted" = `b` 100%',
        "data.root=/a/b noise.rate=0.4 trial 0",
        "Größe \\' ; --",
        "x" * 400,
    ],
)
def test_a_trial_may_have_any_name(place: Place, sweep: str, trial: str) -> None:
    for _ in range(2):
        place.runs("odd 'name' = 1").apply([begun(), started(trial), point(trial, 1, 3.0, a=0.5)])
    seen = look(place, "odd 'name' = 1")[trial]
    assert seen.rows == [("a", 1, 0.5, 3000)]
    assert seen.tags["mlflow.runName"] == shortened(trial, 250)


def test_values_of_any_kind_and_length_are_taken(place: Place, sweep: str) -> None:
    parameters = {"long": "x" * 7000, "none": None, "list": [1, 2], "a[0]?": "é", "empty": ""}
    values = {"nan": math.nan, "inf": math.inf, "none": None, "odd(name)": 1.0, "true": True}
    story = [
        begun(),
        started("t") | {"parameters": parameters},
        point("t", 1, 3.0) | {"values": values},
        ended("t", "failed", 4.0, "y" * 20_000),
    ]
    for _ in range(2):
        place.runs(sweep).apply(story)
    seen = look(place, sweep)["t"]
    assert seen.params == {
        "long": "x" * 6000,
        "none": "None",
        "list": "[1, 2]",
        safe_name("a[0]?"): "é",
        "empty": "",
    }
    rows = {name: value for name, _, value, _ in seen.rows}
    assert math.isnan(rows.pop("nan"))
    assert rows.pop("inf") > 1e300
    assert rows == {safe_name("odd(name)"): 1.0, "true": 1.0}
    assert seen.tags["noisetune.reason"] == "y" * 5000


def test_more_than_a_request_may_hold_is_split(place: Place, sweep: str) -> None:
    parameters = {f"p{number}": number for number in range(250)}
    tags = {f"tag{number}": str(number) for number in range(150)}
    points = [
        point("t", step, 3.0 + step, **{f"m{k}": float(k) for k in range(25)})
        for step in range(100)
    ]
    runs = place.runs(sweep)
    runs.apply([begun(), started("t", **parameters), *points])
    runs.apply([{"kind": "tags", "trial": "t", "tags": tags, "made": 1.0}])
    place.runs(sweep).apply(points)
    seen = look(place, sweep)["t"]
    assert (len(seen.params), len(seen.rows)) == (250, 2500)
    assert seen.tags.items() >= tags.items()


def test_runs_are_found_beyond_the_first_page(
    place: Place, sweep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = [begun(), *(started(f"t {number}") for number in range(5))]
    place.runs(sweep).apply(story)
    search = MlflowClient.search_runs
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "search_runs", lambda *a, **k: search(*a, **k, max_results=2))
        place.runs(sweep).apply(story)
    assert len(look(place, sweep)) == 6


def test_the_runs_of_others_in_the_experiment_are_left_alone(place: Place, sweep: str) -> None:
    runs = place.runs(sweep)
    stranger = runs.client.create_run(runs.experiment, tags={"noisetune.trial": "t"}).info.run_id
    place.runs(sweep).apply([begun(), started("t"), ended("t", "complete", 3.0)])
    run = runs.client.get_run(stranger)
    assert (run.info.status, run.data.tags.get("noisetune.state")) == ("RUNNING", None)


def test_a_deleted_experiment_is_a_clear_error(place: Place, sweep: str) -> None:
    runs = place.runs(sweep)
    runs.client.delete_experiment(runs.experiment)
    with pytest.raises(UserError, match=r"was deleted there; restore it .* --name"):
        check_tracking(place.uri, sweep, place.artifacts)


def test_a_tracker_brings_it_all_to_mlflow_in_silence(
    sweep: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fresh = f"sqlite:///{tmp_path / 'new.db'}"
    tracker = open_tracker(fresh, sweep, tmp_path / "outbox.jsonl", tmp_path / "artifacts")
    tracker.sweep("running", {"name": sweep})
    tracker.started(TRIAL)
    tracker.point(TRIAL, MetricPoint("finetune", 1, {"val/accuracy": 0.5}, made=3.0))
    tracker.result(TRIAL, TrialResult({}, {}, {}, {}, {}))
    tracker.ended(TRIAL)
    assert tracker.close()
    assert capfd.readouterr() == ("", "")
    seen = look(Place(fresh, None), sweep)[TRIAL.name]
    varies = {"finetune.lr": "0.01", "noise.rate": "0.4"}
    assert (seen.status, seen.params) == ("FINISHED", varies)
    assert [row[:3] for row in seen.rows] == [
        ("test/accuracy_at_last", 0, 0.75),
        ("val/accuracy", 1, 0.5),
    ]
    assert seen.result


def test_what_mlflow_refuses_is_raised(place: Place, sweep: str) -> None:
    """So that the tracker keeps it and says why, rather than drop it in silence."""
    runs = place.runs(sweep)
    runs.apply([begun(), started("t")])
    runs.client.delete_run(runs._runs["t"])
    with pytest.raises(RefusedError, match="active"):
        runs.apply([point("t", 1, 3.0, a=0.5)])
    place.runs(sweep).apply([started("t"), point("t", 1, 3.0, a=0.5)])
    assert look(place, sweep)["t"].rows == [("a", 1, 0.5, 3000)]


def test_a_sweep_takes_no_runs_of_an_earlier_one_of_its_name(place: Place, sweep: str) -> None:
    """Its folder was removed, the database was not: their rows would be mixed."""
    told = [begun(), started("t"), point("t", 1, 3.0, loss=0.5)]
    for identity in ("first", "second"):
        MlflowRuns(place.uri, sweep, place.artifacts, identity).apply(told)
    client = MlflowClient(place.uri)
    experiment = client.get_experiment_by_name(sweep)
    runs = client.search_runs([experiment.experiment_id])
    identities = sorted(run.data.tags["noisetune.identity"] for run in runs)
    assert identities == ["first"] * 2 + ["second"] * 2
    again = MlflowRuns(place.uri, sweep, place.artifacts, "second")
    again.apply(told)
    assert len(client.search_runs([experiment.experiment_id])) == 4
