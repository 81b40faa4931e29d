"""What a YAML file names is written in the usual places, or where the user says so."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import noisetune
from noisetune.allowed import check_written, needs_leave
from noisetune.cli.sweep_commands import _Same
from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.sweep.home import Site
from noisetune.sweep.run import begun_sweep, new_sweep
from noisetune.sweep.study.ledger import Ledger, journal

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
STEPS = st.lists(st.one_of(st.sampled_from(["..", ".", "a", ""]), TEXTS), max_size=6)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the cache beside it, and a stranger's files in `theirs`."""
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))
    project = tmp_path / "project"
    (project / "theirs").mkdir(parents=True)
    monkeypatch.chdir(project)
    return project


def write(project: Path, cache: object, **data: Any) -> tuple[Path, Path]:
    """A trial and a sweep that keep their images in `cache`."""
    folder = {"name": "folder", "root": "mine", "size": 8, "cache": str(cache)}
    trial, sweep = project / "theirs" / "trial.yaml", project / "theirs" / "sweep.yaml"
    trial.write_text(yaml.safe_dump({"data": data or folder}))
    raw = {"name": "small", "search_space": "space.yaml", "trial": {"data": data or folder}}
    sweep.write_text(yaml.safe_dump(raw))
    (project / "theirs" / "space.yaml").write_text("parameters: {}\n")
    return trial, sweep


@pytest.mark.parametrize("command", ["run", "sweep", "plan"])
@pytest.mark.parametrize("data", [{}, {"name": "cifar10"}])
def test_a_strangers_file_has_nothing_written_elsewhere(
    noisetune: Callable[..., Any], project: Path, command: str, data: dict[str, str]
) -> None:
    target = project.parent / "etc" / "x"
    given = data | {"root": str(target)} if data else data
    trial, sweep = write(project, target, **given)
    said = noisetune(command, trial if command == "run" else sweep)
    assert said.code == 2
    field = "data.root" if data else "data.cache"
    message = " ".join(said.err.split())
    assert f"{field}: {target} would be written to" in message
    assert f"--allow-write {target}" in message
    assert not target.parent.exists()


@pytest.mark.parametrize("command", ["run", "sweep", "plan"])
def test_the_user_gives_leave(noisetune: Callable[..., Any], project: Path, command: str) -> None:
    target = project.parent / "etc" / "x"
    trial, sweep = write(project, target)
    file = trial if command == "run" else sweep
    for leave, problem in ((target / "y", "would be written to"), (target.parent, "mine is no fo")):
        said = noisetune(command, file, "--allow-write", "other", "--allow-write", leave)
        assert said.code == 2
        assert problem in " ".join(said.err.split())
    assert not target.parent.exists()


def test_a_condition_is_looked_at_too(project: Path) -> None:
    _, sweep = write(project, "theirs/cache")
    space = {"conditions": {"data.cache": ["theirs/cache", str(project.parent / "x")]}}
    (project / "theirs" / "space.yaml").write_text(yaml.safe_dump(space))
    with pytest.raises(UserError, match=r"condition data.cache=/.*/x: data.cache: /.* would be wr"):
        new_sweep(sweep, site=Site.of("mlruns"))


@pytest.mark.parametrize("place", ["mlruns/x", "theirs/x", "{cache}/x", "theirs/../mlruns"])
def test_the_usual_places_need_no_leave(project: Path, place: str) -> None:
    trial, sweep = write(project, place.format(cache=project.parent / "cache"))
    assert new_sweep(sweep, site=Site.of("mlruns")).config.name == "small"
    with pytest.raises(UserError, match=r"data.root: mine is no folder"):
        noisetune.run_trial(trial, share=False)


def test_python_gives_leave_and_speaks_for_itself(project: Path) -> None:
    target = project.parent / "elsewhere"
    trial, sweep = write(project, target)
    for run in (noisetune.run_trial, noisetune.run_sweep):
        file = trial if run is noisetune.run_trial else sweep
        with pytest.raises(UserError, match=r"data.cache: .*elsewhere would be written to"):
            run(file)
        with pytest.raises(UserError, match=r"data.root: mine is no folder"):
            run(file, allow_write=[target])
    with pytest.raises(UserError, match=r"data.root: mine is no folder"):
        noisetune.run_trial(yaml.safe_load(trial.read_text()))


def test_a_sweep_that_goes_on_is_looked_at_again(project: Path) -> None:
    """Its folder may have come from elsewhere, too."""
    target, site = project.parent / "elsewhere", Site.of("mlruns")
    _, file = write(project, target)
    definition = new_sweep(file, site=Site.of("mlruns", allow_write=[target])).definition()
    site.home.sweep("small").mkdir(parents=True)
    Ledger.create(journal(site.home.ledger_file("small")), "small", definition)
    with pytest.raises(
        UserError, match=r"sweep .small.: condition all: data.cache: .*elsewhere wo"
    ):
        begun_sweep(site.home, "small")
    begun = begun_sweep(site.home, "small", allow_write=[target])
    assert needs_leave(begun.written(), site.home.root) == [target]
    assert f" --allow-write {target}" in _Same.options(site, None, begun).run


def test_images_that_are_there_are_not_fetched(project: Path) -> None:
    root = project.parent / "images"
    (root / "cifar-10-batches-py").mkdir(parents=True)
    for data in ({"root": root}, {"root": "other", "download": False}, {"root": "data"}, {}):
        raw = {"name": "cifar10"} | {name: str(value) for name, value in data.items()}
        assert TrialConfig.parse({"data": raw}, "the test").written() == {}


@given(STEPS, st.booleans())
@example(["..", "project2"], False)
@example(["a", "..", "..", "x"], False)
def test_no_path_leaves_the_places_that_are_allowed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], absolute: bool
) -> None:
    base = tmp_path_factory.mktemp("leave")
    own, mlruns = base / "project" / "own", base / "project" / "mlruns"
    own.mkdir(parents=True)
    (own / "out").symlink_to("/")
    path = Path("/".join(steps)) if absolute else own / "/".join(steps).lstrip("/")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISETUNE_CACHE", str(base / "cache"))
        patch.chdir(base)
        real = os.path.realpath(path)
        places = [os.path.realpath(each) for each in (own, mlruns, base / "cache")]
        inside = any(f"{real}/".startswith(f"{place}/") for place in places)
        refused = nullcontext() if inside else pytest.raises(UserError, match=r"x.yaml: data.cache")
        with refused:
            check_written({"data.cache": path}, "x.yaml", own, mlruns, ())
        check_written({"data.cache": path}, "x.yaml", own, mlruns, [Path(real)])


@pytest.mark.parametrize("way", ["out/x", "out/../x", "out"])
def test_a_link_that_came_with_the_file_is_followed(project: Path, way: str) -> None:
    (project / "theirs" / "out").symlink_to(project.parent / "etc" / "deep")
    trial, _ = write(project, f"theirs/{way}")
    with pytest.raises(UserError, match=f"data.cache: theirs/{way} would be written to"):
        noisetune.run_trial(trial)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_can_be_no_path_is_a_user_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"x.yaml: data.root: .* is no path"):
        check_written({"data.root": Path(text)}, "x.yaml", tmp_path, tmp_path, ())
