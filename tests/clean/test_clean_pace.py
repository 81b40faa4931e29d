"""How far `noisetune clean` says that it is."""

import time

import pytest

from noisetune.clean.pace import Pace
from noisetune.records import EXTRACT, FOLD, PRETRAIN, MetricPoint, Tick

SECONDS = {EXTRACT: 100.0, FOLD: 60.0, "judge": 40.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_rest_takes_as_long_as_the_pace_until_now_says(clock: list[float]) -> None:
    pace = Pace(SECONDS, rounds=3, epochs=1)
    assert (pace.done, pace.left) == (0, None)
    pace.heard(Tick(EXTRACT, 0.5))
    clock[0] = 100.0
    assert pace.done == pytest.approx(0.25)
    assert pace.left == pytest.approx(300)
    for done in (0.5, 1.0, 0.5, 1.0, 0.5):
        pace.heard(Tick(FOLD, done))
    assert pace.done == pytest.approx((100 + 60 * 5 / 6) / 200)
    pace.heard(Tick("judge", 1.0))
    assert (pace.done, pace.left) == (1, 0)


def test_what_comes_from_the_store_is_done_and_says_nothing_of_the_pace(clock: list[float]) -> None:
    pace = Pace(SECONDS, rounds=1, epochs=1)
    pace.heard(Tick(FOLD, 0.5))
    clock[0] = 15.0
    assert pace.done == pytest.approx(130 / 200)
    assert pace.left == pytest.approx(35)
    trained = Pace({PRETRAIN: 100.0, FOLD: 10.0}, rounds=1, epochs=10)
    trained.heard(MetricPoint(PRETRAIN, 4, {}, made=time.time() - 60))
    assert (trained.done, trained.left) == (pytest.approx(40 / 110), None)
    trained.heard(MetricPoint(PRETRAIN, 5, {}, made=time.time() + 60))
    clock[0] = 45.0
    assert trained.left == pytest.approx(30 * 60 / 10)


def test_rounds_of_which_nothing_is_heard_are_done_before_what_comes_after_them() -> None:
    pace = Pace(SECONDS, rounds=3, epochs=1)
    pace.heard(Tick(FOLD, 1.0))
    pace.heard(Tick("judge", 0.0))
    assert pace.done == pytest.approx(160 / 200)
