import json
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from made_up import Play, point, result_of, some_slots
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from noisetune.config import TrialConfig
from noisetune.records import Event, MetricPoint, Tick, TrialResult
from noisetune.sweep.execution import slots as slots_module
from noisetune.sweep.execution.adapters import TuneScheduler, TuneSearcher
from noisetune.sweep.execution.message import Message
from noisetune.sweep.execution.slots import Slots
from noisetune.sweep.execution.trainable import STEP_SECONDS, make_trainable
from noisetune.sweep.study.scheduler import RESTARTS
from noisetune.training.loop import DivergedError

EAGER = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}
OpenScheduler = Callable[..., Play]


def told(*points: MetricPoint, **more: Any) -> dict[str, Any]:
    """What a trainable tells Ray."""
    return Message(points, **more).to_result()


@pytest.fixture
def play(open_scheduler: OpenScheduler) -> Play:
    return open_scheduler(trials_per_condition=6, replicates=0, pruner=EAGER)


@pytest.fixture
def searcher(play: Play) -> TuneSearcher:
    return searching(play, slots=2)


def searching(play: Play, slots: int, lookahead: bool = True) -> TuneSearcher:
    return TuneSearcher(play.scheduler, None, some_slots(slots), lookahead)


def finish(searcher: TuneSearcher, trial: str, *values: float) -> None:
    """The trial reports every epoch and ends with the last."""
    job = searcher.jobs[trial]
    epochs = [point(epoch, value) for epoch, value in enumerate(values, start=1)]
    searcher.on_trial_complete(trial, told(*epochs, finished=result_of(job)))


def test_a_suggestion_is_the_schedulers_next_trial(play: Play, searcher: TuneSearcher) -> None:
    work = json.loads(searcher.suggest("a")["job"])
    (record,) = play.records()
    assert (work["name"], work["config"]) == (record.name, record.config)


@pytest.mark.parametrize(
    ("slots", "lookahead", "suggested"), [(2, True, 3), (2, False, 2), (1, True, 1)]
)
def test_at_most_one_trial_more_than_can_run_is_suggested(
    play: Play, slots: int, lookahead: bool, suggested: int
) -> None:
    searcher = searching(play, slots, lookahead)
    first = [searcher.suggest(trial) is not None for trial in "abcd"]
    assert first == [position < suggested for position in range(4)]
    finish(searcher, "a", 0.5)
    assert searcher.suggest("e") is not None


def test_the_search_is_over_when_the_scheduler_says_so(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=1)
    searcher = searching(play, slots=4)
    searcher.suggest("a")
    assert searcher.suggest("b") is None
    finish(searcher, "a", 0.5)
    searcher.suggest("b")
    finish(searcher, "b", 0.5)
    assert searcher.suggest("c") == Searcher.FINISHED


def test_the_last_result_counts_before_the_end(play: Play, searcher: TuneSearcher) -> None:
    searcher.suggest("a")
    finish(searcher, "a", 0.5, 0.8, 0.6)
    (record,) = play.records()
    assert (record.state, record.objective) == ("complete", 0.8)
    assert record.metrics["test/accuracy_at_last"] == 0.5


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (told(error="the loss is not finite"), "the loss is not finite"),
        (told(error="OSError: gone", trace="..."), "OSError: gone"),
    ],
)
def test_a_trial_without_a_result_failed_with_its_reason(
    play: Play, searcher: TuneSearcher, result: dict[str, Any], reason: str
) -> None:
    searcher.suggest("a")
    searcher.on_trial_complete("a", result)
    assert [(each.state, each.reason) for each in play.records()] == [("failed", reason)]
    assert not play.scheduler.running


@pytest.mark.parametrize("result", [None, told(point(1, 0.5))])
def test_a_trial_whose_process_died_begins_again_and_not_for_ever(
    play: Play, searcher: TuneSearcher, result: dict[str, Any] | None
) -> None:
    for life in range(1 + RESTARTS):
        suggested = json.loads(searcher.suggest(f"life {life}")["job"])
        assert suggested["name"] == "all trial 0"
        searcher.on_trial_complete(f"life {life}", result, error=True)
    (record,) = play.records()
    assert record.state == "running"
    assert play.scheduler.fault == "all trial 0: the trial's process ended unexpectedly"
    assert searcher.suggest("no more") == Searcher.FINISHED


def test_a_trial_that_ray_stopped_for_the_user_stays_running(
    play: Play, searcher: TuneSearcher
) -> None:
    searcher.suggest("a")
    searcher.on_trial_complete("a", told(point(1, 0.5)))
    assert [record.state for record in play.records()] == ["running"]


def test_the_scheduler_stops_what_the_pruner_prunes(play: Play, searcher: TuneSearcher) -> None:
    scheduler = TuneScheduler(searcher)
    for trial in "ab":
        searcher.suggest(trial)
        finish(searcher, trial, 0.5, 0.6, 0.7, 0.8)
    searcher.suggest("c")
    decide = scheduler.on_trial_result
    trial = SimpleNamespace(trial_id="c")
    assert decide(None, trial, told(point(1, 0.5))) == TrialScheduler.CONTINUE
    assert decide(None, trial, told(point(2, 0.1))) == TrialScheduler.STOP
    assert play.records()[2].state == "pruned"
    searcher.on_trial_complete("c", told(point(3, 0.1)))
    assert play.records()[2].state == "pruned"


def test_a_trial_of_nobody_goes_on(searcher: TuneSearcher) -> None:
    stranger = SimpleNamespace(trial_id="x")
    scheduler = TuneScheduler(searcher)
    assert scheduler.on_trial_result(None, stranger, told()) == TrialScheduler.CONTINUE
    searcher.on_trial_complete("x", None)


def test_a_trial_that_waits_for_its_encoder_is_paused_and_holds_no_share(
    searcher: TuneSearcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = SimpleNamespace(trial_id="a", status="RUNNING")
    paused: list[Any] = []
    controller = SimpleNamespace(
        pause_trial=lambda trial, should_checkpoint: paused.append(trial),
        get_live_trials=lambda: [trial],
    )
    scheduler = TuneScheduler(searcher)
    searcher.suggest("a")
    decision = scheduler.on_trial_result(controller, trial, told(waiting=True))
    assert (decision, paused) == (TrialScheduler.NOOP, [trial])
    trial.status = "PAUSED"
    assert scheduler.choose_trial_to_run(controller) is None
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert scheduler.choose_trial_to_run(controller) is trial


def test_rays_snapshots_hold_no_study(searcher: TuneSearcher) -> None:
    for part in (searcher, TuneScheduler(searcher)):
        assert len(pickle.dumps(part.__getstate__())) < 10


Script = Callable[[TrialConfig], Iterator[Event]]


@pytest.fixture
def steps(tiny_trial: Callable[..., TrialConfig]) -> Callable[[Script], list[Message]]:
    """What a trainable tells, step by step, of a trial that follows a script."""

    def steps(script: Script) -> list[Message]:
        def pipeline(config: TrialConfig, *_: object) -> Any:
            yield from script(config)
            return TrialResult({}, {}, {}, {}, {})

        work = {"name": "mine", "config": tiny_trial().to_json(), "store": None}
        shared = {"milestones": [], "knn": False}
        trainable = make_trainable(pipeline)(config={"job": json.dumps(work | shared), "gpu": 0.0})
        results = [trainable.step()]
        while not results[-1]["done"]:
            results.append(trainable.step())
        trainable.cleanup()
        return [Message.from_result(result) for result in results]

    return steps


def test_a_step_ends_with_each_fine_tuning_epoch(
    steps: Callable[[Script], list[Message]],
) -> None:
    def script(_: TrialConfig) -> Iterator[Event]:
        yield MetricPoint("pretrain", 1, {"pretrain/loss": 2.0})
        yield Tick("finetune", 0.5)
        yield from (point(epoch, epoch / 10) for epoch in (1, 2))

    told = steps(script)
    assert [[each.step for each in step.points] for step in told] == [[1, 1], [2], []]
    assert told[-1].finished == TrialResult({}, {}, {}, {}, {})


def test_a_long_epoch_does_not_hold_the_step(
    steps: Callable[[Script], list[Message]],
) -> None:
    def script(_: TrialConfig) -> Iterator[Event]:
        for tick in range(20):
            time.sleep(STEP_SECONDS / 10)
            yield Tick("pretrain", tick / 20)
        yield point(1, 0.5)

    told = steps(script)
    assert len(told) >= 3
    assert told[0] == Message()


@pytest.mark.parametrize(
    ("error", "reason", "traced"),
    [
        (DivergedError("loss nan in epoch 2"), "loss nan in epoch 2", False),
        (ZeroDivisionError("of a bug"), "ZeroDivisionError: of a bug", True),
    ],
)
def test_an_error_ends_the_trial_with_what_came_before(
    steps: Callable[[Script], list[Message]], error: Exception, reason: str, traced: bool
) -> None:
    def script(_: TrialConfig) -> Iterator[Event]:
        yield point(1, 0.5)
        yield MetricPoint("pretrain", 1, {})
        raise error

    told = steps(script)
    assert told[-1].error == reason
    assert (told[-1].trace is not None) == traced
    assert [each.stage for each in told[-1].points] == ["pretrain"]


def test_an_actor_takes_another_trial(tiny_trial: Callable[..., TrialConfig]) -> None:
    closed: list[int] = []

    def pipeline(config: TrialConfig, *_: object) -> Any:
        try:
            yield point(1, config.replicate / 10)
            yield point(2, config.replicate / 10)
        finally:
            closed.append(config.replicate)

    def work(replicate: int) -> dict[str, Any]:
        config = tiny_trial(replicate=replicate).to_json()
        shared = {"name": "mine", "store": None, "milestones": [], "knn": False}
        return {"job": json.dumps({"config": config, **shared}), "gpu": 0.0}

    trainable = make_trainable(pipeline)(config=work(1))
    trainable.step()
    assert trainable.reset_config(work(2))
    assert closed == [1]
    (first,) = Message.from_result(trainable.step()).points
    assert (first.step, first.values) == (1, {"val/accuracy": 0.2})


def test_a_trial_holds_the_share_of_the_host_that_it_is_placed_on(
    open_scheduler: OpenScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots_module, "LOOK_SECONDS", 0.0)
    resources = {"cpu": 1, "gpu": 0.5, "gpu_on": {"H100": 0.25}}
    play = open_scheduler(trials_per_condition=9, replicates=0, resources=resources)
    large = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:H100": 1.0}
    small = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:T4": 1.0}
    hosts = [large, small]
    slots = Slots(play.scheduler.config, lambda: hosts)
    searcher = TuneSearcher(play.scheduler, None, slots, lookahead=False)
    asked = [searcher.suggest(str(number)) for number in range(6)]
    placed = Counter((each["host"], each["gpu"]) for each in asked)
    assert placed == {("H100", 0.25): 4, ("T4", 0.5): 2}
    assert searcher.suggest("7") is None
    # The large host goes: who waited for it is asked for again, and comes to the other.
    hosts.remove(large)
    waiting = next(str(number) for number in range(6) if asked[number]["host"] == "H100")
    assert searcher.is_stranded(waiting)
    name = searcher.jobs[waiting].name
    searcher.on_trial_complete(waiting)
    for number in range(6):
        if str(number) != waiting:
            finish(searcher, str(number), 0.5)
    again = searcher.suggest("again")
    assert (json.loads(again["job"])["name"], again["host"], again["gpu"]) == (name, "T4", 0.5)
    assert not searcher.is_stranded("again")


def test_what_waits_for_a_host_that_has_gone_is_given_back(searcher: TuneSearcher) -> None:
    searcher.suggest("a")
    trial, stopped = SimpleNamespace(trial_id="a", status="PENDING"), list[Any]()
    controller: Any = SimpleNamespace(
        get_live_trials=lambda: [trial], request_stop_trial=stopped.append
    )
    scheduler = TuneScheduler(searcher)
    assert scheduler.choose_trial_to_run(controller) is trial
    searcher.hosts["a"] = "H100"
    assert scheduler.choose_trial_to_run(controller) is None
    assert stopped == [trial]
