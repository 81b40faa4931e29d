from dataclasses import replace

import pytest
from fake_server import TRIAL

from noisetune.records import MetricPoint
from noisetune.tracking.messages import (
    Message,
    ended_message,
    interrupted_message,
    missing_fields,
    point_message,
    started_message,
    sweep_message,
    system_message,
    unsaid,
)


def test_what_varies_are_the_parameters_and_the_rest_is_the_configuration() -> None:
    told = started_message(TRIAL)
    assert told["parameters"] == {"noise.rate": 0.4, "finetune.lr": 0.01}
    assert told["config"] == TRIAL.config


def test_a_sweep_has_the_parameters_that_have_a_value() -> None:
    given = {"a": None, "b": "", "c": [], "d": 0, "e": False, "f": "x"}
    assert sweep_message("running", given)["parameters"] == {"d": 0, "e": False, "f": "x"}


def test_every_message_has_what_its_kind_needs() -> None:
    point = MetricPoint("finetune", 1, {"loss": 0.5})
    for each in (
        sweep_message("running", {}),
        started_message(TRIAL),
        point_message(TRIAL, point),
        ended_message(TRIAL),
        system_message({}),
        interrupted_message(TRIAL),
    ):
        assert missing_fields(each) == []


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ({}, ["kind"]),
        ({"kind": "news"}, []),
        ({"kind": "point", "trial": "t", "made": 1.0}, ["step", "values"]),
    ],
)
def test_what_a_message_lacks_is_named(message: Message, missing: list[str]) -> None:
    assert missing_fields(message) == missing


def test_what_the_ledger_knows_and_nobody_said_is_of_the_last_sign_of_life() -> None:
    point = MetricPoint("finetune", 1, {"loss": 0.5}, made=20.0)
    said = [started_message(TRIAL, 10.0), point_message(TRIAL, point)]
    for state in ("complete", "interrupted"):
        found = list(unsaid(said, [replace(TRIAL, state=state)]))
        assert [(each["kind"], each["made"]) for each in found] == [("started", 20), ("ended", 20)]
        assert found[-1]["state"] == state
        assert list(unsaid([*said, *found], [replace(TRIAL, state=state)])) == []
    assert list(unsaid(said, [TRIAL])) == []


def test_an_interrupted_trial_that_was_taken_up_again_is_interrupted_again() -> None:
    said = [started_message(TRIAL), interrupted_message(TRIAL), started_message(TRIAL)]
    found = list(unsaid(said, [replace(TRIAL, state="interrupted")]))
    assert [each["kind"] for each in found] == ["started", "ended"]
