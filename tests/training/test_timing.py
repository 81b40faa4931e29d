import json
import subprocess
from typing import Any

import pytest
import torch
from frail import Frail

from noisetune.models.resnet18 import Config as ResNet18
from noisetune.training import timing
from noisetune.training.runtime import Runtime
from noisetune.training.timing import NO_TIME, WAYS, answers, measure

CPU = Runtime(device="cpu", threads=1, compile=False)
SHAPE = (3, 8, 8)


@pytest.mark.long
def test_every_way_of_a_network_has_its_seconds() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    seconds, left_out = measure(ResNet18(width=16), SHAPE, [4, 8], CPU)
    assert (seconds | left_out).keys() == set(WAYS)
    assert min(seconds["fp32 contiguous"], seconds["fp32 channels_last"]) > 0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.long
def test_ways_that_end_the_process_hang_or_raise_are_left_out_alone() -> None:
    faults = {
        "fp32 channels_last": "SIGSEGV",
        "bf16 contiguous": "hang",
        "bf16 channels_last": "SIGABRT",
    }
    seconds, left_out = measure(Frail(faults=faults), SHAPE, [4], CPU)
    assert list(seconds) == ["fp32 contiguous"]
    assert left_out == {
        "fp32 channels_last": "the process was ended by SIGSEGV",
        "bf16 contiguous": "it takes far longer than the first",
        "bf16 channels_last": "the process was ended by SIGABRT",
    }


@pytest.mark.long
def test_a_network_that_raises_has_no_seconds() -> None:
    seconds, left_out = measure(Frail(faults={WAYS[0]: "error"}), SHAPE, [4], CPU, WAYS[:1])
    assert seconds == {}
    assert left_out == {WAYS[0]: "the network raised an error"}


def test_a_process_that_is_not_done_in_time_is_ended() -> None:
    seconds, left_out = measure(Frail(faults={WAYS[0]: "hang"}), SHAPE, [4], CPU, limit=0.1)
    assert seconds == {}
    assert left_out == dict.fromkeys(WAYS, "no time was left")


def test_what_was_measured_in_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], timeout: float, **_: Any) -> None:
        said = b'{"way": "fp32 contiguous", "seconds": 0.5}\n'
        raise subprocess.TimeoutExpired(command, timeout, output=said)

    monkeypatch.setattr(subprocess, "run", run)
    seconds, left_out = measure(ResNet18(width=16), SHAPE, [4, 8], CPU)
    assert seconds == {"fp32 contiguous": 0.5}
    assert left_out == dict.fromkeys(WAYS[1:], "no time was left")


class Ways:
    """Ways of so many seconds an image, on a clock of their own; some fail on larger batches."""

    def __init__(self, seconds: dict[str, float], failures: dict[tuple[str, int], str]) -> None:
        self.seconds, self.failures, self.now = seconds, failures, 0.0
        self.done: list[tuple[str, int]] = []

    def alone(self, way: str, batch: int, limit: float, last: bool) -> dict[str, Any]:
        self.done.append((way, batch))
        if reason := self.failures.get((way, batch)):
            return {"reason": reason}
        taken = 4 * batch * self.seconds[way]
        self.now += min(taken, limit)
        if taken > limit:
            return {"reason": NO_TIME if last else "it takes far longer than the first"}
        return {"seconds": self.seconds[way]}

    def answers(self, batches: list[int], ends: float = 1e9) -> list[tuple[str, Any]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timing.time, "monotonic", lambda: self.now)
            return list(answers(self.alone, batches, list(self.seconds), ends))


SECONDS = {"a": 1.0, "b": 0.9, "c": 2.0}


def test_larger_batches_are_for_the_ways_that_are_close() -> None:
    ways = Ways(SECONDS, {})
    found = ways.answers([16, 64, 256])
    small = [("a", 16), ("b", 16), ("c", 16)]
    assert ways.done == [*small, ("a", 64), ("b", 64), ("a", 256), ("b", 256)]
    assert [way for way, _ in found] == [way for way, _ in ways.done]


@pytest.mark.parametrize("others", [{}, {"b": 2.0}])
def test_a_way_that_nothing_comes_close_to_is_chosen(others: dict[str, float]) -> None:
    ways = Ways({"a": 1.0, **others}, {})
    ways.answers([16, 64])
    assert {batch for _, batch in ways.done} == {16}


def test_a_larger_batch_is_not_begun_where_the_time_is_short() -> None:
    """The first batches take 64, 57.6 and 128 s; four times the first two are 486.4."""
    for ends, largest in ((249.6 + 486.3, 16), (249.6 + 486.5, 64)):
        ways = Ways(SECONDS, {})
        ways.answers([16, 64], ends)
        assert max(batch for _, batch in ways.done) == largest


def test_ways_are_compared_on_the_same_batch_alone() -> None:
    """Who is late on a larger batch has its answer from the smaller one, and so have the others."""
    assert Ways(SECONDS, {("b", 64): NO_TIME}).answers([16, 64]) == Ways(SECONDS, {}).answers([16])


def test_a_batch_that_no_way_has_the_memory_for_says_nothing() -> None:
    failures = {(way, 64): "the network raised an error" for way in "ab"}
    assert Ways(SECONDS, failures).answers([16, 64]) == Ways(SECONDS, {}).answers([16])


def test_a_way_that_crashes_on_a_larger_batch_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [
        {"way": "fp32 contiguous", "seconds": 0.5},
        {"way": "bf16 contiguous", "seconds": 0.1},
        {"way": "fp32 contiguous", "seconds": 0.4},
        {"way": "bf16 contiguous", "reason": "so it was"},
    ]
    printed = "\n".join(map(json.dumps, lines))
    monkeypatch.setattr(timing, "_asked", lambda *_: (printed, "it was not reached"))
    seconds, left_out = measure(ResNet18(width=16), SHAPE, [4, 8], CPU)
    assert seconds == {"fp32 contiguous": 0.4}
    assert left_out.pop("bf16 contiguous") == "so it was"
    assert set(left_out.values()) == {"it was not reached"}
