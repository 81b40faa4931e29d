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
    unsaid,
)


def test_the_number_of_a_replicate_is_the_one_in_its_name() -> None:
    replicate = replace(
        TRIAL, name="all replicate 7", kind="replicate", number=7, config={"replicate": 8}
    )
    assert started_message(replicate)["parameters"] == {"replicate": 7, "seed": 8}
    assert started_message(replace(TRIAL, config={"replicate": 0}))["parameters"] == {"seed": 0}
    searched = started_message(replace(TRIAL, name="all search 3 trial 7", config={"replicate": 3}))
    assert searched["parameters"] == {"replicate": 3, "seed": 3}


def test_a_sweep_has_the_parameters_that_have_a_value() -> None:
    given = {"a": None, "b": "", "c": [], "d": 0, "e": False, "f": "x"}
    assert sweep_message("running", given)["parameters"] == {"d": 0, "e": False, "f": "x"}


def test_every_message_has_what_its_kind_needs() -> None:
    point = MetricPoint("finetune", 1, {"loss": 0.5})
    for each in (
        sweep_message("running", {}),
        started_message(TRIAL),
        point_message(TRIAL, point),
        ended_message(TRIAL, None),
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
