"""What `precision: auto` and `channels_last: auto` are: measured once for a machine and a model.

The times are kept in a file, so that every trial, and every host that shares the folder and has
the same processor, comes to the same answer. NOISETUNE_CACHE names the folder; NOISETUNE_MEASURE=0
measures nothing and takes the usual of the device.
"""

import functools
import hashlib
import itertools
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from noisetune.caches import cache_folder
from noisetune.models.base import Classifier, ModelConfig
from noisetune.training.runtime import Runtime

log = logging.getLogger(__name__)

GAIN = 1.2  # how much faster bf16 must be for fp32 to be left
FORMAT_GAIN = 1.05  # and channels_last, which changes last bits alone, for the plain format
SMALL_FLOPS = 4e7  # of a forward pass of one image: below, no way gains enough to look for it
# The batch measured on: enough images to be busy, of so much work as is done in seconds.
IMAGES = {"cpu": (2, 16, 2e10), "cuda": (16, 256, 3e11)}
ROUNDS, CLASSES = 3, 10
WAYS = tuple(itertools.product(("fp32", "bf16"), (False, True)))
Shape = tuple[int, int, int]


def fastest(model: ModelConfig, shape: Shape, runtime: Runtime) -> Runtime:
    """`runtime`, whose device is settled, with precision and memory format settled.

    shape is (C, H, W) of the images. fp32 is left for a gain of 1.2 and more alone, the contiguous
    format for one of 1.05, and by small networks neither ever.
    """
    if forward_flops(model, shape) < SMALL_FLOPS:
        return settle(runtime, {})
    what = _what(model, shape, runtime)
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
    file = cache_folder() / "speed" / f"{digest}.json"
    seconds = _read(file)
    if seconds is None:
        size = what["size"]
        seconds = measure(model, (shape[0], size, size), runtime)
        _write(file, {"what": what, "seconds": seconds})
    return settle(runtime, seconds)


def measuring() -> bool:
    return os.environ.get("NOISETUNE_MEASURE") != "0"


def settle(runtime: Runtime, seconds: Mapping[str, float]) -> Runtime:
    """The choice from the seconds of a step in each way; a way without a time is not chosen."""
    formats = [False, True] if runtime.channels_last == "auto" else [bool(runtime.channels_last)]
    times = {way: seconds[name] for way in WAYS if (name := _name(way)) in seconds}

    def best(precision: str) -> float:
        return min(times.get((precision, each), float("inf")) for each in formats)

    precision: Any = runtime.precision
    if precision == "auto":
        precision = "bf16" if best("bf16") * GAIN <= best("fp32") < float("inf") else "fp32"
    channels_last: Any = runtime.channels_last
    if channels_last == "auto":
        plain, other = (times.get((precision, each)) for each in (False, True))
        channels_last = plain is not None and other is not None and other * FORMAT_GAIN <= plain
    return runtime.model_copy(update={"precision": precision, "channels_last": channels_last})


def measure(model: ModelConfig, shape: Shape, runtime: Runtime) -> dict[str, float]:
    """Seconds of a training step on images of `shape` (C, H, W) in each way, the shortest of three.

    On a CPU they are those that one thread computes: several would wait for each other where other
    work is on the machine, and the answer would depend on it.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        try:
            torch.set_num_threads(1)
            steps = {_name(way): _step(model, shape, runtime, way) for way in WAYS}
            seconds: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(1 + ROUNDS):
                for name, step in steps.items():
                    seconds[name].append(_timed(step, runtime.torch_device))
        finally:
            torch.set_num_threads(threads)
    return {name: min(times[1:]) for name, times in seconds.items()}


@functools.lru_cache
def forward_flops(model: ModelConfig, shape: Shape) -> int:
    """Floating-point operations of a forward pass of one image; nothing is computed."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model.build(shape[0], shape[1:])(torch.empty(2, *shape))
    return counter.get_total_flops() // 2


def processor(device: str) -> str:
    """The name by which machines of equal speed know each other."""
    if device == "cuda":
        return torch.cuda.get_device_name(0)
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    named = [line.partition(":") for line in lines]
    fields = {name.strip(): value.strip() for name, _, value in named}
    names = ("model name", "cpu family", "model", "stepping")
    return " ".join(fields.get(name, "") for name in names)


def _what(model: ModelConfig, shape: Shape, runtime: Runtime) -> dict[str, Any]:
    return {
        "processor": processor(runtime.device),
        "torch": torch.__version__,
        "device": runtime.device,
        "model": model.model_dump(mode="json"),
        "channels": shape[0],
        # Images of nearly the same size share an answer: sides count as the next power of two.
        "size": 1 << (max(shape[1:]) - 1).bit_length(),
    }


def _step(
    model: ModelConfig, shape: Shape, runtime: Runtime, way: tuple[str, bool]
) -> Callable[[], None]:
    chosen = runtime.model_copy(update={"precision": way[0], "channels_last": way[1]})
    network = chosen.place(Classifier(model.build(shape[0], shape[1:]), CLASSES))
    device, (least, most, work) = chosen.torch_device, IMAGES[chosen.device]
    count = max(least, min(most, int(work / forward_flops(model, shape))))
    images = chosen.arrange(torch.rand(count, *shape, device=device))
    labels = torch.arange(count, device=device) % CLASSES

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


def _name(way: tuple[str, bool]) -> str:
    return f"{way[0]} {'channels_last' if way[1] else 'contiguous'}"


def _read(file: Path) -> dict[str, float] | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))["seconds"]
        return {name: float(kept[name]) for name in map(_name, WAYS)}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s): it is measured again", file, error)
        return None


def _write(file: Path, kept: dict[str, Any]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as aside:
            json.dump(kept, aside, indent=1)
        os.replace(aside.name, file)
    except OSError as error:
        log.warning("%s cannot be written (%s): the next trial measures again", file, error)
