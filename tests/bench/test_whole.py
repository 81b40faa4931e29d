"""A bench gives figures of a whole sweep or none."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from noisetune.bench.engine import Clock
from noisetune.bench.features import Stopwatch as HeadWatch
from noisetune.bench.sharing import Stopwatch as SharedWatch
from noisetune.bench.stack import Curves
from noisetune.bench.sweep_watch import SweepWatch
from noisetune.bench.whole import check_whole
from noisetune.records import TrialRecord
from noisetune.sweep.execution.stop import Stopped


class Ended:
    """A sweep that ended in a way that a test says."""

    def __init__(self, **differs: Any) -> None:
        self.signal, self.delivered = None, True
        self.scheduler = self
        self.finished = True
        vars(self).update(differs)


def test_a_whole_one_passes() -> None:
    check_whole(Ended())


@pytest.mark.parametrize("differs", [{"finished": False}, {"delivered": False}])
def test_a_part_of_one_does_not(differs: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="did not come to its end"):
        check_whole(Ended(**differs))


def test_one_that_a_signal_ended_passes_it_on() -> None:
    with pytest.raises(Stopped) as stopped:
        check_whole(Ended(finished=False, signal=signal.SIGTERM))
    assert stopped.value.signal == signal.SIGTERM


WATCHES = [SweepWatch, Clock, HeadWatch, SharedWatch, Curves]


@pytest.mark.parametrize("watch", WATCHES)
def test_a_trial_that_fails_ends_a_bench(watch: Callable[[], SweepWatch]) -> None:
    """Whoever watches."""
    failed = TrialRecord("a", "all", {}, "search", 0, "failed", {}, {}, reason="so it was")
    with pytest.raises(RuntimeError, match="a ended without a result: so it was"):
        watch().ended(failed)


def test_what_a_sweep_says_is_not_among_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    SweepWatch().say("starting")
    assert capsys.readouterr() == ("", "starting\n")
