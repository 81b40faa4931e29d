"""Whatever path a person gives by mistake: one message, exit code 2, and nothing is left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisetune.sweep import run
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger, journal

TRIAL: dict[str, Any] = {
    "data": {"train_samples": 60, "test_samples": 30},
    "model": {"width": 4},
    "pretrain": {"method": "none"},
    "finetune": {"epochs": 1, "batch_size": 16},
    "runtime": {"threads": 1},
}
SWEEP: dict[str, Any] = {"name": "mine", "search_space": "space.yaml", "trial": TRIAL}
SPACE: dict[str, Any] = {"parameters": {"finetune.lr": {"choices": [0.001]}}}

# What stops root, too: a file where a folder should be, a folder where a file should be, a file
# system that takes nothing, a name that none takes, and a device that is full or without end.
FOLDERS = ("{file}", "{file}/below", "/proc/none/here", "/dev/full", "{folder}/" + 300 * "x")
OUTPUTS = (
    "{folder}", "{file}/x", "/proc/none", "{folder}/none/x", "/dev/full", "{folder}/" + 300 * "x",
)  # fmt: skip
INPUTS = ("{folder}", "{file}/x", "{folder}/none", "/proc/self/mem", "/dev/zero", 300 * "x")

COMMANDS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("plan", "BAD"), INPUTS),
    (("plan", "{sweep}", "--mlruns", "BAD"), (*FOLDERS[:2], *FOLDERS[3:])),
    (("plan", "{sweep}", "--store", "BAD"), (*FOLDERS[:2], *FOLDERS[3:])),
    (("sweep", "BAD"), INPUTS),
    (("sweep", "{sweep}", "--mlruns", "BAD"), FOLDERS),
    (("sweep", "{sweep}", "--mlruns", "{new}", "--store", "BAD"), FOLDERS),
    (("sweep", "{sweep}", "--mlruns", "{new}", "--tracking-uri", "sqlite:///BAD"), OUTPUTS[:3]),
    (("resume", "mine", "--mlruns", "BAD"), FOLDERS),
    (("resume", "mine", "--mlruns", "{mlruns}", "--store", "BAD"), FOLDERS),
    (("status", "mine", "--mlruns", "BAD"), FOLDERS),
    (("status", "mine", "--mlruns", "{mlruns}", "--csv", "BAD"), OUTPUTS),
    (("status", "mine", "--mlruns", "{mlruns}", "--trials", "--csv", "BAD"), OUTPUTS),
    (("list", "--mlruns", "BAD"), (*FOLDERS[:2], *FOLDERS[3:])),
    (("list", "--mlruns", "{mlruns}", "--csv", "BAD"), OUTPUTS),
    (("best", "mine", "--mlruns", "BAD"), FOLDERS),
    (("best", "mine", "--mlruns", "{mlruns}", "--export", "BAD"), FOLDERS),
    (("best", "mine", "--mlruns", "{mlruns}", "--csv", "BAD"), OUTPUTS),
    (("reproduce", "cifar10", "mine", "--mlruns", "BAD"), FOLDERS),
    (("reproduce", "cifar10", "mine", "--mlruns", "{mlruns}", "--csv", "BAD"), OUTPUTS),
    (("run", "BAD"), INPUTS),
    (("run", "{trial}", "--mlruns", "{new}", "--out", "BAD"), OUTPUTS),
    (("run", "{trial}", "--mlruns", "BAD"), FOLDERS),
    (("run", "{trial}", "--mlruns", "{new}", "--store", "BAD"), FOLDERS),
    (("run", "{beside}", "--mlruns", "{new}"), ("",)),
    (("store", "ls", "--url", "BAD"), FOLDERS),
    (("store", "verify", "--mlruns", "BAD"), FOLDERS),
    (("store", "gc", "--max-size", "1G", "--url", "BAD"), FOLDERS),
    (("ui", "--mlruns", "BAD"), FOLDERS),
]
MISTAKES = [(words, bad) for words, kinds in COMMANDS for bad in kinds]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good files and folders, and what the bad ones are made of."""
    root = tmp_path_factory.mktemp("places")
    for name, content in (("sweep", SWEEP), ("space", SPACE), ("trial", TRIAL), ("beside", TRIAL)):
        (root / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (root / "beside.result.json").mkdir()
    (root / "folder").mkdir()
    (root / "file").write_text("a file")
    sweep = Sweep.prepare(parse_sweep(SWEEP, "the test"), SearchSpace.model_validate(SPACE))
    home = Home(root / "mlruns")
    home.sweep("mine").mkdir(parents=True)
    ledger = Ledger.create(journal(home.ledger_file("mine")), "mine", sweep.definition())
    (condition,) = sweep.conditions
    config = condition.trial({"finetune.lr": 0.001}).to_json()
    attributes = {"config": config, "parameters": {"finetune.lr": 0.001}, "metrics": {}}
    study = ledger.study(condition.name, "search", ["maximize"], None)
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=attributes))
    names = {name: root / f"{name}.yaml" for name in ("sweep", "trial", "beside")}
    return names | {name: root / name for name in ("file", "folder", "mlruns", "new")}


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(run, "_session", started)


@pytest.mark.long
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mistake=st.sampled_from(MISTAKES))
def test_a_path_that_cannot_be_is_one_message(
    noisetune: Callable[..., Any],
    places: dict[str, Path],
    no_ray: None,
    mistake: tuple[tuple[str, ...], str],
) -> None:
    words, bad = mistake
    bad = bad.format(**places)
    before = sorted(places["file"].parent.rglob("*"))
    said = noisetune(*(word.replace("BAD", bad).format(**places) for word in words))
    assert said.code == 2, said
    assert said.err.startswith("error: "), said.err
    assert len(said.err.splitlines()) == 1
    assert "Traceback" not in said.out + said.err
    (option,) = [word for word in words if "BAD" in word] or ["--out"]
    named = words[words.index(option) - 1] if option in words else option
    assert bad in said.err or named in said.err
    made = {path for path in places["file"].parent.rglob("*") if path not in before}
    # A result that a full disk did not take is not lost: its stages are in the store.
    kept = {places["new"], *places["new"].rglob("*")} if named == "--out" else set()
    assert made <= kept
