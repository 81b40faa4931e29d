"""`status --watch` and `status --json`, from another terminal than the driver's."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from test_results_commands import SWEEP, write

from noisetune.cli import watch
from noisetune.sweep import overview
from noisetune.sweep.home import Home
from noisetune.sweep.watch.snapshot import Slot, Snapshot

NOW = Snapshot(
    "val/accuracy",
    3,
    6,
    {"a": {"complete": 3}},
    {},
    [Slot("a trial 3", "finetune", 2, 9, 0.5, 60.0)],
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "mlruns")
    write(home, SWEEP, ["maximize"])
    return home


def driven(looks: int) -> Callable[..., object]:
    """Who drives a sweep, at so many looks."""
    left = iter(range(looks))

    def driver_of(home: Home, name: str) -> object:
        return next(left, None)

    return driver_of


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watch, "CALM_SECONDS", 0.0)
    monkeypatch.setattr(watch, "driver_of", driven(3))


@pytest.mark.usefixtures("quick")
def test_without_a_terminal_it_tells_lines_then_shows_the_tables(
    noisetune: Callable[..., Any], home: Home
) -> None:
    home.status_file("mine").write_text(json.dumps(asdict(NOW)))
    said = noisetune("status", "mine", "--watch", "--mlruns", home.root)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[:3] == ["3 of 6 trials ended, 1 running"] * 3
    assert lines[3].startswith("chosen by val/accuracy")


@pytest.mark.usefixtures("quick")
def test_a_driver_that_has_said_nothing_yet_is_starting(
    noisetune: Callable[..., Any], home: Home
) -> None:
    said = noisetune("status", "mine", "--watch", "--mlruns", home.root)
    assert said.out.splitlines()[:3] == ["starting"] * 3


@pytest.mark.usefixtures("quick")
def test_on_a_terminal_it_is_drawn_in_place(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(watch, "console", console)
    home.status_file("mine").write_text(json.dumps(asdict(NOW)))
    watch.watch_sweep(home, "mine")
    assert isinstance(console.file, io.StringIO)
    assert "a trial 3" in console.file.getvalue()


def test_ctrl_c_ends_the_watching_alone(
    noisetune: Callable[..., Any], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "driver_of", interrupted)
    said = noisetune("status", "mine", "--watch", "--mlruns", home.root)
    assert (said.code, said.err) == (0, "")
    assert "sweep mine goes on" in said.out


def test_a_name_that_is_none_is_refused(noisetune: Callable[..., Any], home: Home) -> None:
    said = noisetune("status", "yours", "--watch", "--mlruns", home.root)
    assert (said.code, said.err[:25]) == (2, "error: no sweep 'yours' i")


def test_a_program_gets_all_that_the_tables_say(noisetune: Callable[..., Any], home: Home) -> None:
    home.status_file("mine").write_text(json.dumps(asdict(NOW)))
    said = noisetune("status", "mine", "--json", "--mlruns", home.root)
    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (told["sweep"], told["state"], told["now"]) == ("mine", "stopped", None)
    assert told["counts"]["complete"] == told["ended"] == 6
    first = told["conditions"][0]
    assert first["factors"] == {"noise.rate": 0.6, "pretrain.method": "none"}
    assert first["replicates"]["last"]["values"] == pytest.approx(
        {"1": 0.597, "2": 0.599, "3": 0.601}
    )
    assert first["replicates"]["last"]["interval"]["mean"] == pytest.approx(0.599)
    assert first["metrics"]["detection"]["detect/f1"]["n"] == 3
    (answer,) = told["comparisons"][told["asked_at"]]
    assert answer["fixed"]["difference"]["mean"] == pytest.approx(0.18)
    assert answer["verdict"]["claim"] is None
    assert told["comparisons"]["last"][0]["verdict"] is None


def test_of_several_goals_it_gets_the_front(noisetune: Callable[..., Any], tmp_path: Path) -> None:
    home = Home(tmp_path / "mlruns")
    goals = {"metric": "val/accuracy", "also": [{"metric": "cost/passes"}]}
    write(home, SWEEP | {"objective": goals}, ["maximize", "minimize"])
    told = json.loads(noisetune("status", "mine", "--json", "--mlruns", home.root).out)
    assert len(told["front"]) == 2
    assert "conditions" not in told


def test_a_program_is_told_what_runs(
    noisetune: Callable[..., Any], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "driver_of", driven(1))
    now = replace(NOW, hours_left=(0.5, float("inf")))
    home.status_file("mine").write_text(json.dumps(asdict(now)))
    told = json.loads(noisetune("status", "mine", "--json", "--mlruns", home.root).out)
    assert (told["state"], told["now"]["slots"][0]["trial"]) == ("running", "a trial 3")
    assert told["now"]["hours_left"] == [0.5, None]
