"""Seconds of a training step in each precision and memory format, taken in processes of their own.

A kernel that crashes, hangs or takes minutes on some processor ends or holds up such a process, and
never the one that asks.
"""

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from noisetune.models.base import Classifier, ModelConfig
from noisetune.training.runtime import Runtime

LIMIT = 60.0  # seconds for all ways together, the start of Python and torch included
# A way that is not done after so many times what the first one took is not faster than it.
PATIENCE, LEAST_PATIENCE = 3, 2.0
ROUNDS, CLASSES = 3, 10
# The plain way first: those after it may crash or take too long.
WAYS = ("fp32 contiguous", "fp32 channels_last", "bf16 contiguous", "bf16 channels_last")
NO_TIME = "no time was left"
Batch = tuple[int, int, int, int]
Timing = tuple[dict[str, float], dict[str, str]]


def measure(
    model: ModelConfig,
    batch: Batch,
    runtime: Runtime,
    ways: Sequence[str] = WAYS,
    limit: float = LIMIT,
) -> Timing:
    """Seconds of a step on a `batch` (B, C, H, W) in each way, the shortest of three.

    Ways that crash, take far longer than the first or were not done within `limit` seconds are
    left out; the second dictionary says why. On a CPU the seconds are those that one thread
    computes: several would wait for each other where other work is on the machine, and the answer
    would depend on it.
    """
    task = {
        "model": [type(model).__module__, type(model).__qualname__, model.model_dump(mode="json")],
        "batch": batch,
        "runtime": runtime.model_dump(mode="json"),
        "ways": list(ways),
        "ends": time.monotonic() + limit,
    }
    printed, reason = _asked(task, limit)
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith('{"way"')]
    seconds = {each["way"]: each["seconds"] for each in lines if "seconds" in each}
    reasons = {each["way"]: each["reason"] for each in lines if "reason" in each}
    missing = [way for way in ways if way not in seconds | reasons]
    return seconds, reasons | dict.fromkeys(missing, reason)


def _asked(task: dict[str, Any], limit: float) -> tuple[str, str]:
    """What a new Python prints that runs `main`, and why it may say nothing of a way."""
    try:
        child = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(task),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(), NO_TIME
    except OSError as error:
        return "", str(error)
    said = child.stderr.strip().splitlines()
    return child.stdout, said[-1] if said else f"the process ended with code {child.returncode}"


def main() -> None:
    """Measure what standard input asks for; a line of JSON for each way as it is done."""
    task = json.loads(sys.stdin.read())
    module, name, fields = task["model"]
    model = getattr(importlib.import_module(module), name).model_validate(fields)
    runtime, batch = Runtime.model_validate(task["runtime"]), tuple(task["batch"])
    # No thread of torch's may run yet where a process is forked.
    torch.set_num_threads(1)
    patience = float("inf")
    for way in task["ways"]:
        began = time.monotonic()
        left = task["ends"] - 1 - began  # the answer is to be read in time
        line = _alone((model, batch, runtime, way), min(patience, left), left <= patience)
        print(json.dumps({"way": way, **line}), flush=True)
        if patience == float("inf"):
            patience = max(LEAST_PATIENCE, PATIENCE * (time.monotonic() - began))


def _alone(
    what: tuple[ModelConfig, Any, Runtime, str], limit: float, last: bool
) -> dict[str, float | str]:
    """The seconds of a way, or the reason why there are none: what one way does to the memory of
    its process must not end another."""
    late = NO_TIME if last else "it takes far longer than the first"
    if limit <= 0:
        return {"reason": late}
    fork = multiprocessing.get_context("fork")
    seconds = fork.Array("d", 1, lock=False)
    process = fork.Process(target=_time, args=(seconds, limit, *what))
    process.start()
    process.join(limit)
    if process.exitcode is None:
        process.kill()
        return {"reason": late}
    if process.exitcode < 0:
        return {"reason": f"the process was ended by {signal.Signals(-process.exitcode).name}"}
    return {"seconds": seconds[0]} if seconds[0] else {"reason": "the network raised an error"}


def _time(
    seconds: MutableSequence[float],
    limit: float,
    model: ModelConfig,
    batch: Batch,
    runtime: Runtime,
    way: str,
) -> None:
    signal.alarm(1 + int(limit))  # who waits for it may be gone by then
    step = _step(model, batch, runtime, way)
    times = [_timed(step, runtime.torch_device) for _ in range(1 + ROUNDS)]
    seconds[0] = min(times[1:])


def _step(model: ModelConfig, batch: Batch, runtime: Runtime, way: str) -> Callable[[], None]:
    precision, memory_format = way.split()
    channels_last = memory_format == "channels_last"
    chosen = runtime.model_copy(update={"precision": precision, "channels_last": channels_last})
    network = chosen.place(Classifier(model.build(batch[1], batch[2:]), CLASSES))
    device = chosen.torch_device
    images = chosen.arrange(torch.rand(batch, device=device))
    labels = torch.arange(batch[0], device=device) % CLASSES

    def step() -> None:
        with chosen.autocast():
            logits = network(images)
        F.cross_entropy(logits.float(), labels).backward()
        network.zero_grad()

    return step


def _timed(step: Callable[[], None], device: torch.device) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    began = clock()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


if __name__ == "__main__":
    main()
