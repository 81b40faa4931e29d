"""`noisetune bench sharing` on a part of the digits; what it says of time is not looked at."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from noisetune.bench import sharing
from noisetune.bench.rounds import Until
from noisetune.bench.sharing import Stopwatch, measure_sharing, paper_shaped
from noisetune.records import MetricPoint, TrialRecord
from noisetune.store import NullStore
from noisetune.sweep.plan import make_plan
from noisetune.sweep.spec.sweep import Sweep

KEYS = {
    "slots",
    "trials",
    "same_results",
    "pretrain_epochs",
    "pretrain_epochs_ratio",
    "wall_seconds",
    "cpu_seconds",
    "wall_ratio",
    "wall_ratio_bound",
    "share_of_bound",
    "idle_share",
    "rounds",
    "within",
    "ratios",
    "wide",
    "other_work",
    "warning",
}


@pytest.mark.long
def test_the_sweep_is_shaped_like_the_papers() -> None:
    """1,360 epochs of pre-training become 100: two methods of 50 epochs each."""
    sweep = paper_shaped((10, 25, 50), 16, "paper")
    plan = make_plan(sweep, {"CPU": 1.0, "GPU": 0.0}, NullStore(), measure=False)
    assert (plan.conditions, plan.search_trials, plan.replicates, plan.exact) == (12, 56, 0, True)
    pretrain, finetune = plan.stages["pretrain"], plan.stages["finetune"]
    assert (pretrain.epochs_unshared, pretrain.epochs) == (1360, 100)
    assert (finetune.epochs_unshared, finetune.epochs) == (560, 560)


@pytest.mark.parametrize("epochs", [(10, 25, 50), (2, 5, 10), (1, 2)])
def test_a_shorter_sweep_keeps_its_proportions(epochs: tuple[int, ...]) -> None:
    tuning = paper_shaped(epochs, 4, "paper").config.trial["finetune"]["epochs"]
    assert tuning == max(1, max(epochs) // 5)


@pytest.fixture(scope="module")
def figures(ray_at_hand: None) -> dict[str, Any]:
    """The benchmark on 60 images, with one SSL method, two noise rates and lengths."""

    def smaller(epochs: tuple[int, ...], width: int, name: str) -> Sweep:
        sweep = paper_shaped(epochs, width, name)
        few = {"name": "digits", "train_samples": 60, "test_samples": 30}
        trial = sweep.config.trial | {"data": few, "finetune": {"epochs": 1, "batch_size": 16}}
        return Sweep.prepare(sweep.config.model_copy(update={"trial": trial}), sweep.space)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "RATES", (0.2, 0.6))
        patch.setattr(sharing, "METHODS", ("none", "simclr"))
        patch.setattr(sharing, "paper_shaped", smaller)
        return measure_sharing((1, 2), 4, Until(rounds=2))


@pytest.mark.long
def test_it_says_what_it_promises(figures: dict[str, Any]) -> None:
    assert figures.keys() == KEYS
    assert json.loads(json.dumps(figures)) == figures


@pytest.mark.long
def test_sharing_changes_no_result(figures: dict[str, Any]) -> None:
    assert figures["trials"] == 2 * (2 + 4)
    assert figures["same_results"] is True


@pytest.mark.long
def test_it_counts_the_epochs_that_were_really_computed(figures: dict[str, Any]) -> None:
    """SimCLR runs 1 + 2 epochs for each of two noise rates and two fine-tune rates."""
    assert figures["pretrain_epochs"] == [2 * 2 * 3, 2]
    assert figures["pretrain_epochs_ratio"] == 6.0


@pytest.mark.long
def test_its_ratios_hang_together(figures: dict[str, Any]) -> None:
    found = figures["ratios"]["alone to shared"]
    assert figures["wall_ratio"] == found["wall"]["ratio"]
    assert found["cpu"]["ratio"] > 0
    assert figures["rounds"] == 2
    assert 0 <= figures["idle_share"] <= 1


def trial(name: str, method: str, epochs: int) -> TrialRecord:
    config = {"pretrain": {"method": method, "epochs": epochs}}
    return TrialRecord(name, "all", {}, "search", 0, "running", {}, config)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [0.0]
    monkeypatch.setattr(sharing.time, "time", lambda: now[0])

    def turn_to(moment: float) -> None:
        now[0] = moment

    return turn_to


def test_a_replayed_epoch_is_not_counted_again() -> None:
    watch = Stopwatch()
    first = [MetricPoint("pretrain", step, {}, made=float(step)) for step in (1, 2)]
    for name in ("a", "b"):
        watch.started(trial(name, "simclr", 2))
        for point in first:
            watch.point(trial(name, "simclr", 2), point)
    watch.started(trial("c", "simclr", 2))
    watch.point(trial("c", "simclr", 2), replace(first[0], made=9.0))
    assert len(watch.computed) == 3


def test_a_trial_without_a_result_ends_the_benchmark() -> None:
    failed = replace(trial("a", "none", 0), state="failed", reason="so it was")
    with pytest.raises(RuntimeError, match="a ended without a result: so it was"):
        Stopwatch().ended(failed)


@pytest.mark.parametrize(
    ("second", "idle"),
    [
        # It could have been handed out at 0, came at 4: one of two slots for 4 of 10 seconds.
        (("none", 0), 0.2),
        # Its encoder is being computed until 2, so only from then on it could have run.
        (("simclr", 2), 0.1),
        # The other method's encoder is nobody's.
        (("barlow_twins", 2), 0.2),
    ],
)
def test_a_slot_is_idle_where_a_trial_could_have_run(
    clock: Callable[[float], None], second: tuple[str, int], idle: float
) -> None:
    watch = Stopwatch()
    watch.started(trial("a", "simclr", 2))
    watch.point(trial("a", "simclr", 2), MetricPoint("pretrain", 2, {}, made=2.0))
    clock(2.0)
    watch.point(trial("a", "simclr", 2), MetricPoint("gate", 2, {}))
    clock(4.0)
    watch.started(trial("b", *second))
    clock(10.0)
    for span in watch.spans.values():
        span.over = 10.0
    assert watch.idle_share(slots=2) == pytest.approx(idle)


@pytest.mark.parametrize("epochs", ["ten", "10,,25", "", "10;25"])
def test_epochs_that_are_no_numbers_are_refused(noisetune: Callable[..., Any], epochs: str) -> None:
    said = noisetune("bench", "sharing", "--epochs", epochs)
    assert said.code == 2
    assert said.err.startswith(f"error: --epochs {epochs}: write whole numbers, as in 10,25,50")


def test_the_command_prints_json_for_a_program(
    noisetune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    estimate = {"ratio": 2.0, "low": 1.96, "high": 2.04}
    figures = {
        "ratios": {"alone to shared": {"wall": estimate, "cpu": estimate}},
        "rounds": 7,
        "wide": [],
        "warning": None,
        **{"same_results": True, "wall_seconds": [2.0, 1.0], "wall_ratio": 2.0},
    }
    monkeypatch.setattr(sharing, "measure_sharing", lambda *given: asked.append(given) or figures)
    said = noisetune("bench", "sharing", "--epochs", "1,2", "--width", 4, "--json")
    assert json.loads(said.out) == figures
    shown = noisetune("bench", "sharing").out
    assert "wall_seconds  2, 1" in shown
    assert "1.96..2.04" in shown
    until = Until(within=0.05, rounds=200, seconds=600.0, seed=0)
    assert asked == [((1, 2), 4, until), ((2, 5, 10), 16, until)]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_on_all_digits_the_shape_of_the_paper_saves_what_it_must() -> None:
    figures = measure_sharing((1, 2, 3), 4, Until(rounds=1))
    assert figures["same_results"] is True
    assert figures["pretrain_epochs"] == [4 * 2 * 2 * 6, 2 * 3]
