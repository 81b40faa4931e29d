import subprocess
from typing import Any

import pytest
import torch
from frail import Frail

from noisetune.models.resnet18 import Config as ResNet18
from noisetune.training.runtime import Runtime
from noisetune.training.timing import WAYS, measure

CPU = Runtime(device="cpu", threads=1, compile=False)
BATCH = (4, 3, 8, 8)


@pytest.mark.long
def test_every_way_of_a_network_has_its_seconds() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    seconds, left_out = measure(ResNet18(width=16), BATCH, CPU)
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
    seconds, left_out = measure(Frail(faults=faults), BATCH, CPU)
    assert list(seconds) == ["fp32 contiguous"]
    assert left_out == {
        "fp32 channels_last": "the process was ended by SIGSEGV",
        "bf16 contiguous": "it takes far longer than the first",
        "bf16 channels_last": "the process was ended by SIGABRT",
    }


@pytest.mark.long
def test_a_network_that_raises_has_no_seconds() -> None:
    seconds, left_out = measure(Frail(faults={WAYS[0]: "error"}), BATCH, CPU, WAYS[:1])
    assert seconds == {}
    assert left_out == {WAYS[0]: "the network raised an error"}


def test_a_process_that_is_not_done_in_time_is_ended() -> None:
    seconds, left_out = measure(Frail(faults={WAYS[0]: "hang"}), BATCH, CPU, limit=0.1)
    assert seconds == {}
    assert left_out == dict.fromkeys(WAYS, "no time was left")


def test_what_was_measured_in_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], timeout: float, **_: Any) -> None:
        said = b'{"way": "fp32 contiguous", "seconds": 0.5}\n'
        raise subprocess.TimeoutExpired(command, timeout, output=said)

    monkeypatch.setattr(subprocess, "run", run)
    seconds, left_out = measure(ResNet18(width=16), BATCH, CPU)
    assert seconds == {"fp32 contiguous": 0.5}
    assert left_out == dict.fromkeys(WAYS[1:], "no time was left")
