"""A bench gives figures of a whole sweep or none."""

import signal
from typing import Any

import pytest

from noisetune.bench.whole import check_whole
from noisetune.sweep.execution.stop import Stopped


class Ended:
    """A sweep that ended in a way that a test says."""

    def __init__(self, **differs: Any) -> None:
        self.signal, self.delivered, self.failed = None, True, list[str]()
        self.scheduler = self
        self.finished = True
        vars(self).update(differs)


def test_a_whole_one_passes() -> None:
    check_whole(Ended())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("differs", "says"),
    [
        ({"finished": False}, "did not come to its end"),
        ({"delivered": False}, "did not come to its end"),
        ({"failed": ["search-1", "search-4"]}, "2 trials failed, search-1 first"),
    ],
)
def test_a_part_of_one_does_not(differs: dict[str, Any], says: str) -> None:
    with pytest.raises(RuntimeError, match=says):
        check_whole(Ended(**differs))  # type: ignore[arg-type]


def test_one_that_a_signal_ended_passes_it_on() -> None:
    with pytest.raises(Stopped) as stopped:
        check_whole(Ended(finished=False, signal=signal.SIGTERM))  # type: ignore[arg-type]
    assert stopped.value.signal == signal.SIGTERM
