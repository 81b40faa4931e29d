"""Sweeps of heads on features: of an encoder, computed once, and given."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_sweep import TRIAL, Seen, prepare, run_here, without_ray

from noisetune.bench import features as bench
from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.store import Store
from noisetune.sweep.home import Home
from noisetune.sweep.plan import make_plan
from noisetune.sweep.preflight import preflight
from noisetune.sweep.resources.auto_runtime import settle_runtime
from noisetune.sweep.resources.calibration import calibrate, stage_bytes
from noisetune.sweep.spec.sweep import Sweep

HERE = {"CPU": 2.0, "GPU": 0.0}
RATES = {"conditions": {"noise.rate": [0.2, 0.4]}}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))


def sweep_of(pretrain: dict[str, Any], space: dict[str, Any] = RATES, **tuned: Any) -> Sweep:
    finetune = TRIAL["finetune"] | {"train": "probe"} | tuned
    return prepare(space, "x", trial=TRIAL | {"pretrain": pretrain, "finetune": finetune})


def given_in(folder: Path, train: int = 60, test: int = 30) -> dict[str, Any]:
    """Features of the digits that are looked at, as a trial reads them."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for part, rows in (("train", train), ("test", test)):
        np.save(folder / f"{part}.npy", random.normal(size=(rows, 6)).astype(np.float32))
    return {"method": "features", "path": str(folder)}


def test_a_plan_counts_features_once_and_finds_them_in_the_store(tmp_path: Path) -> None:
    sweep, home, seen = sweep_of({"method": "none"}), Home(tmp_path), Seen()
    store = Store.open(home.stages)
    before = make_plan(sweep, HERE, store, measure=False).stages["extract"]
    assert (before.runs_unshared, before.runs, before.stored) == (2, 1, 0)
    assert run_here(home, sweep, [seen]).finished
    assert {trial.state for trial in seen.ends.values()} == {"complete"}
    after = make_plan(sweep, HERE, store, measure=False).stages["extract"]
    assert (after.runs, after.stored) == (0, 1)
    assert sum(entry.stage == "extract" for entry in store.list()) == 1


def test_given_features_are_a_stage_of_nobody(tmp_path: Path) -> None:
    sweep, home, seen = sweep_of(given_in(tmp_path / "given")), Home(tmp_path), Seen()
    preflight(sweep)
    plan = make_plan(sweep, HERE, Store.open(home.stages))
    assert "extract" not in plan.stages
    assert plan.hours is not None
    assert run_here(home, sweep, [seen]).finished
    assert {trial.state for trial in seen.ends.values()} == {"complete"}
    assert make_plan(sweep, HERE, Store.open(home.stages)).stages["finetune"].stored == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [({"train": 59}, "train has 59 rows"), ({"test": 29}, "test has 29 rows")],
    ids=str,
)
def test_features_of_other_images_are_refused_before_anything_starts(
    tmp_path: Path, rows: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=f"pretrain.path: {message}"):
        preflight(sweep_of(given_in(tmp_path / "given", **rows)))


def test_their_device_is_settled_without_a_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "noisetune.models.resnet18.Config.build", lambda *_: pytest.fail("it was built")
    )
    monkeypatch.setenv("NOISETUNE_MEASURE", "1")
    settled = settle_runtime(sweep_of(given_in(tmp_path / "given")))
    trial = settled.conditions[0].trial({})
    assert (trial.runtime.precision, trial.runtime.channels_last) == ("fp32", False)


def test_a_probe_and_its_features_are_timed_and_weighed(
    tiny_trial: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    own = tiny_trial(pretrain={"method": "none"}, finetune={"train": "probe"}).resolve()
    given = tiny_trial(pretrain=given_in(tmp_path / "given"), finetune={"train": "probe"}).resolve()
    data = own.data.load()
    for stage, config in (("extract", own), ("finetune", own), ("finetune", given)):
        assert calibrate(stage, config, data, {}).seconds_per_epoch > 0
    assert stage_bytes("extract", own, data) == 4 * 32 * (60 + 30)
    heads = stage_bytes("finetune", own, data) - stage_bytes("finetune", given, data)
    assert heads == 4 * 10 * (32 - 6)
    whole = tiny_trial(pretrain={"method": "none"}, finetune={"train": "head"}).resolve()
    assert stage_bytes("finetune", own, data) < stage_bytes("finetune", whole, data)


@pytest.mark.long
def test_the_benchmark_says_what_a_trial_took(monkeypatch: pytest.MonkeyPatch) -> None:
    with without_ray():
        monkeypatch.setattr(bench, "ray_session", nullcontext)
        figures = bench.measure_features(trials=2, rows=100, width=4, epochs=1, batch=16)
    assert (figures["trials"], figures["slots"]) == (2, 1)
    assert figures["stage_seconds"].keys() == {"finetune", "detect"}
    assert figures["wall_seconds"] > 0
