"""`noisetune report` and `compare`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, RDBStorage

from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.sweep.study.ledger_database import Place

SPACE = SearchSpace.model_validate(
    {
        "conditions": {"noise.rate": [0.2, 0.4]},
        "parameters": {"finetune.lr": {"choices": [0.1]}},
    }
)
CHOICES = ("last", "noisy_best", "oracle")


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps, with six replicates in each of two conditions."""
    home = Home(tmp_path_factory.mktemp("mlruns"))
    for name, level in (("mine", 0.8), ("yours", 0.7)):
        begin(home, name, level)
    return home.root


def begin(home: Home, name: str, level: float, database: str | None = None) -> None:
    config = parse_sweep({"name": name, "search_space": "space.yaml"}, "the test")
    sweep = Sweep.prepare(config, SPACE)
    home.sweep(name).mkdir(parents=True)
    storage, identity = _storage(home, name, database)
    ledger = Ledger.create(storage, name, sweep.definition(), identity)
    for condition in sweep.conditions:
        trial = condition.trial({"finetune.lr": 0.1}).to_json()
        for kind, seeds in (("search", [0]), ("replicate", range(1, 7))):
            study = ledger.study(condition.name, kind, ["maximize"], None)
            for seed in seeds:
                accuracy = level + 0.01 * (seed % 3) - condition.factors["noise.rate"] / 4
                metrics = {f"test/accuracy_at_{choice}": accuracy for choice in CHOICES}
                attributes = {"config": trial | {"replicate": seed}, "metrics": metrics,
                              "parameters": {"finetune.lr": 0.1}}  # fmt: skip
                study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=attributes))


def _storage(home: Home, name: str, database: str | None) -> tuple[BaseStorage, str | None]:
    if database is None:
        return journal(home.ledger_file(name)), None
    place = Place.new(database)
    place.write(home.ledger_note(name))
    return RDBStorage(database), place.identity


def test_it_says_where_the_page_is_and_how_long_it_took(
    noisetune: Callable[..., Any], mlruns: Path
) -> None:
    said = noisetune("report", "mine", "--mlruns", mlruns)
    page = mlruns / "sweeps" / "mine" / "report" / "index.html"
    assert said.code == 0
    assert said.out.startswith(f"{page}  (stopped, 14 trials ended; ")
    assert " s, 0." in said.out
    assert page.is_file()


def test_a_sweep_that_nobody_drives_is_watched_once(
    noisetune: Callable[..., Any], mlruns: Path, tmp_path: Path
) -> None:
    said = noisetune("report", "mine", "--watch", "--out", tmp_path / "out", "--mlruns", mlruns)
    assert said.code == 0
    assert said.out.count("index.html") == 1


def test_sweeps_side_by_side(noisetune: Callable[..., Any], mlruns: Path) -> None:
    said = noisetune("compare", "mine", "yours", "--mlruns", mlruns)
    assert said.code == 0
    assert "mine - yours" in said.out
    assert "+10.0" in said.out
    page = mlruns / "comparisons" / "mine+yours" / "index.html"
    assert str(page) in said.out
    assert "mine and yours" in page.read_text()


def test_a_database_is_named_for_those_that_have_their_ledger_in_it(
    noisetune: Callable[..., Any], mlruns: Path, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'ledgers.db'}"
    begin(Home(mlruns), "theirs", 0.5, database)
    words = ("mine", "theirs", "--ledger", database, "--out", tmp_path / "out")
    said = noisetune("compare", *words, "--mlruns", mlruns)
    assert (said.code, said.err) == (0, "")
    assert "mine - theirs" in said.out
    assert "+30.0" in said.out


def test_a_program_reads_trials_as_json(noisetune: Callable[..., Any], mlruns: Path) -> None:
    said = noisetune("status", "mine", "--trials", "--json", "--mlruns", mlruns)
    rows = json.loads(said.out)
    assert len(rows) == 14
    replicate = next(each for each in rows if each["kind"] == "replicate")
    assert replicate["finetune.lr"] == 0.1
    assert replicate["test/accuracy_at_last"] == 0.8 + 0.01 - replicate["noise.rate"] / 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "none"), "no sweep 'none' in "),
        (("compare", "mine"), "compare: give the names of two sweeps or more"),
        (("compare", "mine", "none"), "no sweep 'none' in "),
    ],
)
def test_a_mistake_is_one_message(
    noisetune: Callable[..., Any], mlruns: Path, words: tuple[str, ...], message: str
) -> None:
    said = noisetune(*words, "--mlruns", mlruns)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {message}")


@pytest.mark.long
def test_it_imports_neither_torch_nor_ray_nor_mlflow(mlruns: Path, tmp_path: Path) -> None:
    program = (
        "import json, sys; from noisetune.cli import main\n"
        f"sys.argv = ['noisetune', 'report', 'mine', '--mlruns', {str(mlruns)!r},"
        f" '--out', {str(tmp_path / 'out')!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "matplotlib" in loaded
    assert {"torch", "ray", "mlflow"} & set(loaded) == set()
