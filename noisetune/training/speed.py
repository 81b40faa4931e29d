"""What `precision: auto` and `channels_last: auto` are: measured once for a machine and a model.

The times are kept in a file, so that every trial, and every host that shares the folder and has
the same processor, comes to the same answer. NOISETUNE_CACHE names the folder; NOISETUNE_MEASURE=0
measures nothing and takes the usual of the device.
"""

import functools
import hashlib
import json
import logging
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from noisetune.caches import cache_folder, scratch
from noisetune.models.base import ModelConfig
from noisetune.training.memory_format import overruns
from noisetune.training.runtime import Runtime
from noisetune.training.timing import SLOW, WAYS, measure

log = logging.getLogger(__name__)

GAIN = 1.2  # how much faster bf16 must be for fp32 to be left
FORMAT_GAIN = 1.05  # and channels_last, which changes last bits alone, for the plain format
SMALL_FLOPS = 4e7  # of a forward pass of one image: below, no way gains enough to look for it
FORWARD_AND_BACKWARD = 3  # in forward passes
# The first batch measured on: enough images to be busy, of so much work as is done in seconds.
IMAGES = {"cpu": (2, 16, 2e10), "cuda": (16, 256, 3e11)}
LARGEST, GROWTH = 256, 4  # of a batch, and of it from one to the next
PLAIN, RISKY = WAYS[:2]
Shape = tuple[int, int, int]


def fastest(model: ModelConfig, shape: Shape, runtime: Runtime, batch: int) -> Runtime:
    """`runtime`, whose device is settled, with precision and memory format settled.

    shape is (C, H, W) of the images, `batch` how many a step of the trial has. fp32 is left for a
    gain of 1.2 and more alone, the contiguous format for one of 1.05, and by small networks neither
    ever. Where not even the plain way can be measured, nothing is settled.

    The steps that are measured have as many images as the trial's, but for the part above a power
    of two, and above 256. On a CPU they may have fewer: one step of 256 takes a thread of a slow
    processor 15 s. So all ways are compared on up to 16 images first; those that are close, on four
    times as many, as long as a minute lasts.
    """
    if forward_flops(model, shape) < SMALL_FLOPS:
        return settle(runtime, {})
    what = _what(model, shape, runtime, batch)
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:24]
    kept = Path("speed") / f"{digest}.json"
    seconds = _read(cache_folder() / kept)
    if seconds is None:
        seconds, left_out = _measured(model, shape, runtime, what["size"], what["batch"])
        for way, reason in left_out.items():
            # That a way is slow is what was asked, and no cause for concern.
            level = logging.DEBUG if reason == SLOW else logging.WARNING
            log.log(level, "runtime: %s is not chosen for model %s: %s", way, model.name, reason)
        if PLAIN not in seconds:
            return runtime
        _write(
            (scratch() or cache_folder()) / kept,
            {"what": what, "seconds": seconds, "left_out": left_out},
        )
    return settle(runtime, seconds)


def measuring() -> bool:
    return os.environ.get("NOISETUNE_MEASURE") != "0"


def settle(runtime: Runtime, seconds: Mapping[str, float]) -> Runtime:
    """The choice from the seconds of an image in each way; a way without a time is not chosen."""
    formats = [False, True] if runtime.channels_last == "auto" else [bool(runtime.channels_last)]

    def time(precision: str, channels_last: bool) -> float:
        way = f"{precision} {'channels_last' if channels_last else 'contiguous'}"
        return seconds.get(way, float("inf"))

    def best(precision: str) -> float:
        return min(time(precision, each) for each in formats)

    precision: Any = runtime.precision
    if precision == "auto":
        precision = "bf16" if best("bf16") * GAIN <= best("fp32") < float("inf") else "fp32"
    channels_last: Any = runtime.channels_last
    if channels_last == "auto":
        gained = time(precision, True) * FORMAT_GAIN
        channels_last = gained <= time(precision, False) < float("inf")
    return runtime.model_copy(update={"precision": precision, "channels_last": channels_last})


@functools.lru_cache
def forward_flops(model: ModelConfig, shape: Shape) -> int:
    """Floating-point operations of a forward pass of one image; nothing is computed."""
    with torch.device("meta"):
        network, images = model.build(shape[0], shape[1:]), torch.empty(2, *shape)
        with FlopCounterMode(display=False) as counter:
            network(images)
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


def _what(model: ModelConfig, shape: Shape, runtime: Runtime, batch: int) -> dict[str, Any]:
    return {
        "processor": processor(runtime.device),
        "torch": torch.__version__,
        "device": runtime.device,
        "model": model.model_dump(mode="json"),
        "channels": shape[0],
        # Images of nearly the same size share an answer: sides count as the next power of two.
        "size": 1 << (max(shape[1:]) - 1).bit_length(),
        # And batches as the one before: the trial needs as much memory.
        "batch": min(LARGEST, 1 << (batch.bit_length() - 1)),
    }


def _measured(
    model: ModelConfig, shape: Shape, runtime: Runtime, side: int, batch: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds an image of each way, on square images, and why ways have none."""
    images = (shape[0], side, side)
    least, most, work = IMAGES[runtime.device]
    count = min(batch, max(least, min(most, int(work / forward_flops(model, images)))))
    unsafe = runtime.device == "cpu" and overruns(model, shape)
    known = {RISKY: "torch's kernels corrupt memory"} if unsafe else {}
    ways = [way for way in WAYS if way not in known]
    seconds, left_out = measure(model, images, batches_up_to(batch, count), runtime, ways)
    return seconds, known | left_out


def batches_up_to(batch: int, first: int) -> list[int]:
    """From `first` on, each a few times as large as the one before, to `batch`."""
    sizes = []
    while first < batch:
        sizes.append(first)
        first *= GROWTH
    return [*sizes, batch]


def _read(file: Path) -> dict[str, float] | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))["seconds"]
        return {PLAIN: float(kept[PLAIN])} | {way: float(kept[way]) for way in WAYS if way in kept}
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
