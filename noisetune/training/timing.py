"""Seconds of training steps in each precision and memory format, taken in processes of their own.

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
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
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
SLOW = "it takes far longer than the first"
CLOSE = 1.5
"""How much slower than the fastest a way may be to be measured on a larger batch, too."""
Shape = tuple[int, int, int]
Timing = tuple[dict[str, float], dict[str, str]]
Answer = dict[str, float | str]


def measure(
    model: ModelConfig,
    shape: Shape,
    batches: Sequence[int],
    runtime: Runtime,
    ways: Sequence[str] = WAYS,
    limit: float = LIMIT,
) -> Timing:
    """Seconds of an image of `shape` (C, H, W) in a step in each way, in the shortest of three.

    Every way is measured on the first of the `batches`, which grow, and on a larger one those that
    are close to the fastest, as long as all of them have the time.

    Ways that crash, take far longer than the first or were not done within `limit` seconds are
    left out; the second dictionary says why. On a CPU the seconds are those that one thread
    computes: several would wait for each other where other work is on the machine, and the answer
    would depend on it.
    """
    task = {
        "model": [type(model).__module__, type(model).__qualname__, model.model_dump(mode="json")],
        "shape": shape,
        "batches": list(batches),
        "runtime": runtime.model_dump(mode="json"),
        "ways": list(ways),
        "ends": time.monotonic() + limit,
    }
    printed, reason = _asked(task, limit)
    seconds, reasons = dict[str, float](), dict[str, str]()
    for line in (json.loads(line) for line in printed.splitlines() if line.startswith('{"way"')):
        if "seconds" in line:
            seconds[line["way"]] = line["seconds"]
        else:
            # It may have been measured on a smaller batch.
            seconds.pop(line["way"], None)
            reasons[line["way"]] = line["reason"]
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
    runtime = Runtime.model_validate(task["runtime"])
    # No thread of torch's may run yet where a process is forked.
    torch.set_num_threads(1)

    def alone(way: str, batch: int, limit: float, last: bool) -> Answer:
        line = _alone((model, (batch, *task["shape"]), runtime, way), limit, last)
        return line | ({"seconds": line["seconds"] / batch} if "seconds" in line else {})

    # The answers are to be read in time.
    for way, line in answers(alone, task["batches"], task["ways"], task["ends"] - 1):
        print(json.dumps({"way": way, **line}), flush=True)


def answers(
    alone: Callable[[str, int, float, bool], Answer],
    batches: Sequence[int],
    ways: Sequence[str],
    ends: float,
) -> Iterator[tuple[str, Answer]]:
    """Ways with their seconds an image, or the reason for none; a later answer is of a larger
    batch. `alone` measures one of them, in so many seconds at most; all is over at `ends`."""
    smaller, known, took = batches[0], dict[str, Answer](), dict[str, float]()
    patience = float("inf")
    for way in ways:
        began = time.monotonic()
        known[way] = alone(way, smaller, min(patience, ends - began), ends - began <= patience)
        yield way, known[way]
        took[way] = time.monotonic() - began
        if patience == float("inf"):
            patience = max(LEAST_PATIENCE, PATIENCE * took[way])
    for batch in batches[1:]:
        near, left = close(known), ends - time.monotonic()
        if len(near) < 2 or sum(took[way] for way in near) * batch / smaller > left:
            return
        known = {}
        for way in near:
            began = time.monotonic()
            known[way] = alone(way, batch, ends - began, True)
            took[way] = time.monotonic() - began
        late = any(line.get("reason") == NO_TIME for line in known.values())
        if late or not close(known):
            return  # ways are compared on the same batch alone, and all may lack the memory for it
        yield from known.items()
        smaller = batch


def close(known: Mapping[str, Answer]) -> list[str]:
    """The ways that are not far slower than the fastest of them."""
    seconds = {way: float(line["seconds"]) for way, line in known.items() if "seconds" in line}
    return [way for way, taken in seconds.items() if taken <= CLOSE * min(seconds.values())]


def _alone(what: tuple[ModelConfig, Any, Runtime, str], limit: float, last: bool) -> dict[str, Any]:
    """The seconds of a way, or the reason why there are none: what one way does to the memory of
    its process must not end another."""
    late = NO_TIME if last else SLOW
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
    batch: tuple[int, int, int, int],
    runtime: Runtime,
    way: str,
) -> None:
    signal.alarm(1 + int(limit))  # who waits for it may be gone by then
    step = _step(model, batch, runtime, way)
    times = [_timed(step, runtime.torch_device) for _ in range(1 + ROUNDS)]
    seconds[0] = min(times[1:])


def _step(
    model: ModelConfig, batch: tuple[int, int, int, int], runtime: Runtime, way: str
) -> Callable[[], None]:
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
