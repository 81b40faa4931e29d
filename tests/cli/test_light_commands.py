"""What a command imports before it can say something: the cause of how long that takes."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger, journal

HEAVY = {"torch", "ray", "mlflow", "sklearn", "scipy.stats", "noisetune.config"}
PROGRAM = """
import importlib.abc, sys
forbidden = sys.argv[1].split(",")
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in forbidden:
            print(f"imports {name}", flush=True)
            sys.exit(3)
sys.meta_path.insert(0, Watch())
sys.argv = ["noisetune", *sys.argv[2:]]
from noisetune.cli import main
main()
"""
SWEEP = {"name": "mine", "search_space": "space.yaml"}
SPACE = {
    "conditions": {"noise.rate": [0.2, 0.4]},
    "parameters": {"finetune.lr": {"choices": [0.1]}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's files, good and bad, and a ledger with one trial."""
    folder = tmp_path_factory.mktemp("project")
    for name, content in (("sweep", SWEEP), ("space", SPACE), ("typo", SWEEP | {"trails": 1})):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (folder / "broken.yaml").write_text("name: [mine")
    (folder / "empty.yaml").write_text("# nothing yet\n")
    sweep, home = Sweep.prepare(parse_sweep(SWEEP, "x"), space()), Home(folder / "mlruns")
    home.sweep("mine").mkdir(parents=True)
    ledger = Ledger.create(journal(home.ledger_file("mine")), "mine", sweep.definition())
    config = sweep.conditions[0].trial({"finetune.lr": 0.1}).to_json()
    study = ledger.study(sweep.conditions[0].name, "search", ["maximize"], None)
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"config": config}))
    return folder


def space() -> SearchSpace:
    return SearchSpace.model_validate(SPACE)


def fresh(folder: Path, forbidden: set[str], *words: str) -> subprocess.CompletedProcess[str]:
    """A command in an interpreter of its own, which ends at the first forbidden import."""
    command = [sys.executable, "-c", PROGRAM, ",".join(forbidden), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("status", "mine"), "1 done"),
        (("status", "mine", "--detection", "--markdown"), "1 done"),
        (("status", "mine", "--trials", "--csv"), "noise.rate=0.2 trial 0"),
        (("list",), "mine"),
        (("--version",), "noisetune "),
        (("store", "ls", "--url", "mlruns"), "0 entries"),
    ],
)
def test_looking_imports_neither_torch_nor_ray_nor_a_plug_in(
    folder: Path, words: tuple[str, ...], shown: str
) -> None:
    said = fresh(folder, HEAVY, *words)
    assert (said.returncode, said.stderr) == (0, "")
    assert shown in said.stdout


@pytest.mark.long
def test_a_look_at_the_machine_starts_no_ray_and_opens_no_mlflow(folder: Path) -> None:
    said = fresh(folder, {"ray", "mlflow"}, "doctor")
    assert (said.returncode, said.stderr) == (0, "")
    assert "Ray 2." in said.stdout


def test_telling_imports_neither_torch_nor_ray_nor_a_plug_in(folder: Path) -> None:
    said = fresh(folder, {"torch", "ray", "noisetune.config"}, "sync", "mine")
    assert (said.returncode, said.stderr) == (0, "")
    assert "it has 2 runs of sweep mine" in said.stdout


@pytest.mark.parametrize("command", ["sweep", "plan", "run"])
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("broken.yaml", "broken.yaml: is no valid YAML"),
        ("empty.yaml", "empty.yaml: is empty"),
        ("none.yaml", "none.yaml: there is no such file"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_before_optuna(
    folder: Path, command: str, file: str, message: str
) -> None:
    said = fresh(folder, HEAVY | {"optuna"}, command, file)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_a_field_that_is_none_is_refused_before_torch(folder: Path, command: str) -> None:
    said = fresh(folder, HEAVY, command, "typo.yaml")
    assert said.returncode == 2
    assert said.stderr.startswith("error: typo.yaml: trails: no such field; did you mean 'trial'?")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("sweep.yaml", "sweep.yaml: is a sweep, which has a search_space: run it with `noisetune"),
        ("space.yaml", "space.yaml: is a search space: name it as search_space in a sweep's file"),
    ],
)
def test_run_says_what_it_was_given_instead_of_a_trial(
    folder: Path, file: str, message: str
) -> None:
    said = fresh(folder, HEAVY, "run", file)
    assert said.returncode == 2
    assert said.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("sweep", "sweep.yaml"), "reading sweep.yaml ..."),
        (("plan", "sweep.yaml"), "reading sweep.yaml ..."),
        (("resume", "mine"), "reading the ledger of sweep mine ..."),
    ],
)
def test_a_line_comes_before_the_first_heavy_import(
    folder: Path, words: tuple[str, ...], line: str
) -> None:
    said = fresh(folder, HEAVY, *words)
    assert (said.returncode, said.stderr) == (3, "")
    assert said.stdout.splitlines()[0] == line
    assert said.stdout.splitlines()[1].startswith("imports ")
