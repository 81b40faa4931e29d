"""Reports of real sweeps: from their folder alone, while they run, beside one another."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from real_sweep import SWEEP, TRIAL, without_ray

from noisetune.errors import UserError
from noisetune.report.view import SweepView
from noisetune.sweep import reports
from noisetune.sweep.home import Home
from noisetune.sweep.reports import compare_sweeps, make_report, watched_reports
from noisetune.sweep.run import run_sweep
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.viewed import view_of

SPACE: dict[str, Any] = {
    "conditions": {"pretrain.method": ["none", "simclr"]},
    "parameters": {"finetune.lr": {"choices": [0.001, 0.003]}},
}
PUBLISH = reports.publish_report
"""As it is: the other tests do without."""


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> Home:
    """Two sweeps: the second has one more epoch, another condition and a replicate less."""
    home = Home(tmp_path_factory.mktemp("mlruns"))
    later = TRIAL | {"finetune": TRIAL.get("finetune", {}) | {"epochs": 3}}
    other = {"conditions": {"pretrain.method": ["none", "barlow_twins"]}}
    with without_ray(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "publish_report", PUBLISH)
        run_sweep({**SWEEP, "name": "mine", "replicates": 3}, SPACE, mlruns=home.root,
                  say=said.append)  # fmt: skip
        run_sweep({**SWEEP, "name": "yours", "replicates": 2, "trial": later}, SPACE | other,
                  mlruns=home.root)  # fmt: skip
    return home


def test_a_sweep_ends_with_its_report_and_mlflow_has_all_of_it(home: Home, said: list[str]) -> None:
    page = home.report("mine") / "index.html"
    assert f"report: {page}" in said
    files = {str(each.relative_to(home.sweep("mine"))) for each in page.parent.rglob("*.*")}
    assert len(files) > 20
    (run,) = home.artifacts.glob("mine/*/artifacts/report")
    there = {str(each.relative_to(run.parent)) for each in run.rglob("*.*")}
    assert there == files
    assert (run / "index.html").read_bytes() == page.read_bytes()


@pytest.mark.long
def test_a_relative_folder_is_as_good(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home.sweep("mine"), Home(tmp_path).sweep("mine"))
    monkeypatch.chdir(tmp_path)
    told: list[tuple[str, str]] = []
    said: list[str] = []
    tracker = SimpleNamespace(file=lambda *each: told.append(each))
    PUBLISH(Home(Path()), "mine", tracker, said.append)  # type: ignore[arg-type]
    assert len(said) == 1
    assert said[0].startswith("report: ")
    assert ("report/index.html", "report/index.html") in told
    assert all((tmp_path / "sweeps" / "mine" / file).is_file() for _, file in told)


def test_made_again_it_is_the_same_bytes(home: Home, tmp_path: Path) -> None:
    made = make_report(home, "mine", tmp_path / "again")
    files = [each for each in (tmp_path / "again").rglob("*") if each.is_file()]
    assert len(files) > 20
    for file in files:
        before = home.report("mine") / file.relative_to(made.page.parent)
        assert file.read_bytes() == before.read_bytes()


@pytest.mark.long
def test_the_folder_of_the_sweep_is_enough(home: Home, tmp_path: Path) -> None:
    """Neither MLflow's database nor the stages are there."""
    shutil.copytree(home.sweep("mine"), Home(tmp_path).sweep("mine"))
    made = make_report(Home(tmp_path), "mine")
    assert made.page.read_bytes() == (home.report("mine") / "index.html").read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["sweeps"]


def test_the_view_has_what_the_sweep_left(home: Home) -> None:
    view = view_of(home, "mine")
    assert (view.state, view.ended, view.size) == ("finished", 10, 10)
    complete = {each.name for each in view.records if each.state == "complete"}
    assert set(view.curves) == set(view.seconds) == complete
    replicates = {each.name for each in view.records if each.kind == "replicate"}
    assert set(view.predictions) == replicates
    assert [len(trials) for trials in view.searched.values()] == [2, 2]
    assert view.drives[0]["noisetune"]
    assert view.spent["hours"] > 0
    assert set(view.resolutions) == {each.condition for each in view.records}
    assert all(0 < each < 1 for each in view.resolutions.values())
    accuracy = view.curves[sorted(replicates)[0]]["test/accuracy"]
    assert [step for step, _ in accuracy] == [1, 2]


def test_one_that_runs_says_so(home: Home) -> None:
    with claim_sweep(home, "mine"):
        view = view_of(home, "mine")
    assert view.state == "running"
    assert "has not ended" in view.notices[0]


@pytest.mark.long
def test_a_smoke_run_says_that_it_is_no_result(tmp_path: Path) -> None:
    with without_ray():
        run_sweep({**SWEEP, "name": "mine", "replicates": 1, "smoke": True}, SPACE,
                  mlruns=tmp_path)  # fmt: skip
    assert "no results" in view_of(Home(tmp_path), "mine").notices[0]


def test_a_report_that_fails_fails_no_sweep(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("no figure")

    heard: list[str] = []
    monkeypatch.setattr(reports, "make_report", fail)
    PUBLISH(home, "mine", None, heard.append)  # type: ignore[arg-type]
    assert heard == [
        "the report could not be made (ValueError: no figure); try `noisetune report mine`"
    ]


@pytest.mark.long
def test_it_is_made_anew_when_something_changed_until_nobody_drives(
    home: Home, tmp_path: Path
) -> None:
    watched = Home(tmp_path)
    shutil.copytree(home.sweep("mine"), watched.sweep("mine"))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            with watched.outbox("mine").open("a") as outbox:
                outbox.write("")
            (watched.sweep("mine") / "ledger.journal").touch()
        if len(slept) == 4:
            lease.__exit__(None, None, None)

    lease = claim_sweep(watched, "mine")
    lease.__enter__()
    states = [made.view.state for made in watched_reports(watched, "mine", sleep=sleep)]
    assert states == ["running", "finished"]
    assert 'http-equiv="refresh"' not in (watched.report("mine") / "index.html").read_text()


def test_sweeps_are_compared_in_the_conditions_that_both_have(home: Home) -> None:
    view = compare_sweeps(home, ["mine", "yours"])
    assert [each.name for each in view.summaries] == [
        "sweep=mine pretrain.method=none",
        "sweep=yours pretrain.method=none",
    ]
    (found,) = view.answers
    gap = found.fixed.difference
    assert (found.fixed.a, found.fixed.b) == tuple(each.name for each in view.summaries)
    assert gap.n == 2
    assert gap.mean == pytest.approx(_accuracy(home, "mine") - _accuracy(home, "yours"))
    told = " ".join(view.notices)
    assert "mine: 1 condition that others lack left out." in told
    assert "finetune.epochs (2, 3)" in told
    assert set(view.curves) == {each.name for each in view.records}


def _accuracy(home: Home, name: str) -> float:
    """The mean of the two replicates that both sweeps have."""
    view = view_of(home, name)
    (summary,) = [each for each in view.summaries if each.factors["pretrain.method"] == "none"]
    values = summary.replicates["noisy_best"]
    return (values[1] + values[2]) / 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mine"], "give the names of two sweeps or more, each once"),
        (["mine", "mine"], "give the names of two sweeps or more, each once"),
        (["mine", "none"], "no sweep 'none'"),
    ],
)
def test_what_cannot_be_compared_is_refused(home: Home, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare_sweeps(home, names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"goals": ("val/loss",)}, "chosen by different objectives"),
        ({"goals": ("val/accuracy", "cost/passes")}, "trades several goals off"),
        ({"records": ()}, "no condition is in all of them"),
    ],
)
def test_sweeps_that_have_nothing_in_common_are_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    def changed(home: Home, name: str) -> SweepView:
        view = view_of(home, name)
        return replace(view, **changes) if name == "yours" else view

    monkeypatch.setattr(reports, "view_of", changed)
    with pytest.raises(UserError, match=message):
        compare_sweeps(home, ["mine", "yours"])
