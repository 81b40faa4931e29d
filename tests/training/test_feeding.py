import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.stages.base import Inputs
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.labels import draw_labels
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, NullStore
from noisetune.training import feeding
from noisetune.training.feeding import AHEAD, THREAD_NAME, Feed, is_resident
from noisetune.training.runtime import Runtime

TinyTrial = Callable[..., TrialConfig]
Drive = Callable[..., tuple[list[Any], Artifact]]
IMAGES = torch.arange(40 * 3 * 4 * 5).remainder(251).to(torch.uint8).view(40, 3, 4, 5)
CPU = Runtime(device="cpu", precision="fp32", channels_last=False, threads=1)
CUDA = CPU.model_copy(update={"device": "cuda"})
WAYS = ["device", "stream"]


def fed(way: str, images: Tensor = IMAGES) -> Feed:
    return Feed(images, CPU.model_copy(update={"images": way}))


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(THREAD_NAME)]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    yield
    assert threads() == []


def inputs_of(config: TrialConfig) -> Inputs:
    data = config.data.load()
    return Inputs(config.resolve(), data, draw_labels(config, data))


@pytest.mark.parametrize("way", WAYS)
@given(order=st.lists(st.integers(0, 39), min_size=1), batches=st.integers(1, 3 * AHEAD))
def test_batches_are_the_images_asked_for_in_order(
    way: str, order: list[int], batches: int
) -> None:
    parts = torch.tensor(order).tensor_split(min(batches, len(order)))
    with fed(way).batches(parts) as made:
        for part, batch in zip(parts, made, strict=True):
            assert torch.equal(batch, IMAGES[part])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [None, torch.tensor([3, 1, 30, 7, 7])])
def test_a_pass_reads_everything_in_small_batches(
    monkeypatch: pytest.MonkeyPatch, way: str, rows: Tensor | None
) -> None:
    monkeypatch.setattr(feeding, "EVALUATION_PIXELS", 3 * 4 * 5)
    with fed(way).passing(rows) as made:
        batches = list(made)
    assert torch.equal(torch.cat(batches), IMAGES if rows is None else IMAGES[rows])
    assert max(map(len, batches)) == 3


def test_on_the_cpu_resident_images_are_the_tensor_itself() -> None:
    feed = fed("auto")
    assert feed.resident
    assert feed.images is IMAGES
    with feed.passing() as batches:
        assert next(batches).data_ptr() == IMAGES.data_ptr()


def test_no_more_than_a_few_batches_are_gathered_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[int] = []
    read = feeding._Lane.gather

    def counted(self: Any, rows: Tensor) -> Tensor:
        gathered.append(int(rows[0]))
        return read(self, rows)

    monkeypatch.setattr(feeding._Lane, "gather", counted)
    with fed("stream").batches(torch.arange(40).split(1)) as batches:
        for _ in range(10):
            next(batches)
    assert len(gathered) <= 10 + AHEAD


def test_an_error_in_a_thread_is_raised_by_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, rows: Tensor) -> Tensor:
        raise OSError("the disk is gone")

    monkeypatch.setattr(feeding._Lane, "gather", broken)
    with (
        fed("stream").batches(torch.arange(40).split(4)) as batches,
        pytest.raises(OSError, match="the disk is gone"),
    ):
        next(batches)


def pretrained(config: TrialConfig, drive: Drive) -> Artifact:
    inputs = inputs_of(config)
    key = pretrain_key(config, inputs.data)
    return drive(run_stage(pretrain_stage(inputs, config.pretrain, key, 2), NullStore()))[1]


def finetuned(config: TrialConfig, drive: Drive) -> Artifact:
    inputs = inputs_of(config)
    key = finetune_key(config, inputs.data, None, 0)
    return drive(run_stage(finetune_stage(inputs, None, key), NullStore()))[1]


@pytest.mark.parametrize("stage", [pretrained, finetuned])
def test_training_is_the_same_bit_for_bit_however_images_are_fed(
    tiny_trial: TinyTrial, drive: Drive, stage: Callable[..., Artifact]
) -> None:
    runtime = {"pretrain": {"batch_size": 8}, "finetune": {"batch_size": 8}}
    made = [stage(tiny_trial(runtime={"images": way}, **runtime), drive) for way in WAYS]
    assert made[0].tensors.keys() == made[1].tensors.keys()
    assert all(tensor.equal(made[1].tensors[name]) for name, tensor in made[0].tensors.items())
    values = [[point["values"] for point in each.record["points"]] for each in made]
    assert values[0] == values[1]


def test_a_trial_that_is_stopped_early_leaves_no_thread(
    tiny_trial: TinyTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at a tick in the middle of an epoch, as a pruned trial is."""
    monkeypatch.setattr("noisetune.training.loop.TICK_SECONDS", -1.0)
    inputs = inputs_of(tiny_trial(runtime={"images": "stream"}, finetune={"batch_size": 4}))
    key = finetune_key(inputs.config, inputs.data, None, 0)
    events = finetune_stage(inputs, None, key).compute(None, lambda step: False)
    next(events)
    assert threads()
    events.close()
    assert threads() == []


@pytest.mark.parametrize("way", ["auto", *WAYS])
def test_how_images_are_fed_is_in_no_key(tiny_trial: TinyTrial, way: str) -> None:
    plain, other = tiny_trial(), tiny_trial(runtime={"images": way})
    data = plain.data.load()
    assert pretrain_key(plain, data) == pretrain_key(other, data)
    assert finetune_key(plain, data, None, 0) == finetune_key(other, data, None, 0)


@pytest.mark.parametrize(
    ("free", "share", "allocated", "cached", "fits"),
    [
        (2 * IMAGES.nbytes, 1.0, 0, 0, True),
        (2 * IMAGES.nbytes - 1, 1.0, 0, 0, False),
        (IMAGES.nbytes, 1.0, 5, IMAGES.nbytes, True),
        (9 * IMAGES.nbytes, 0.2, 0, 0, True),
        (9 * IMAGES.nbytes, 0.2, 1, 0, False),
    ],
)
def test_on_a_gpu_they_are_resident_where_half_of_the_free_memory_holds_them(
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    share: float,
    allocated: int,
    cached: int,
    fits: bool,
) -> None:
    total = 10 * IMAGES.nbytes
    for name, value in {
        "mem_get_info": (free, total),
        "memory_allocated": allocated,
        "memory_reserved": allocated + cached,
        "get_per_process_memory_fraction": share,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert is_resident(IMAGES, CUDA) == fits
    assert is_resident(IMAGES, CUDA.model_copy(update={"images": "device"}))
    assert not is_resident(IMAGES, CUDA.model_copy(update={"images": "stream"}))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("way", WAYS)
def test_on_a_gpu_both_ways_give_the_same_bits(way: str) -> None:
    images = torch.randint(0, 256, (500, 3, 32, 32), dtype=torch.uint8)
    parts = torch.randperm(500).repeat(20).split(64)
    with Feed(images, CUDA.model_copy(update={"images": way})).batches(parts) as batches:
        for part, batch in zip(parts, batches, strict=True):
            assert batch.device.type == "cuda"
            assert torch.equal(batch.cpu(), images[part])
