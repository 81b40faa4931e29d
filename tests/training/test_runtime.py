from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from noisetune.errors import UserError
from noisetune.training.runtime import Runtime, available_cpus

SETTLED: dict[str, Any] = {
    "device": "cpu", "threads": 1, "images": "device", "compile": False, "tf32": False,
}  # fmt: skip
CPU = Runtime(precision="fp32", channels_last=False, **SETTLED)


@pytest.fixture
def threads() -> Iterator[None]:
    """Leaves torch's thread count as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_without_a_gpu_auto_is_plain_cpu_work() -> None:
    assert Runtime().resolve(cpus=3, gpus=0) == CPU.model_copy(update={"threads": 3})


@pytest.mark.parametrize(("cpus", "count"), [(0.25, 1), (1, 1), (2.5, 2), (None, available_cpus())])
def test_threads_are_the_trials_share_and_at_least_one(cpus: float | None, count: int) -> None:
    assert Runtime().resolve(cpus, gpus=0).threads == count


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_with_a_gpu_auto_is_its_fastest_precision(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    expected = Runtime(
        device="cuda",
        precision=precision,
        channels_last=True,
        compile=False,
        tf32=True,
        threads=2,
    )
    assert Runtime().resolve(cpus=2, gpus=0.25) == expected


def test_on_the_cpu_a_gpu_beside_it_settles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert Runtime(device="cpu").resolve(cpus=1) == CPU


def test_what_is_set_stays() -> None:
    other = SETTLED | {"threads": 7, "images": "stream", "compile": True}
    given = Runtime(precision="bf16", channels_last=True, **other)
    assert given.resolve(cpus=1, gpus=0) == given


@pytest.mark.parametrize(("gpus", "there"), [(0, True), (None, False)])
def test_a_gpu_that_is_not_there_is_a_user_error(
    monkeypatch: pytest.MonkeyPatch, gpus: float | None, there: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    with pytest.raises(UserError, match=r"runtime.device: cuda is asked for, but the"):
        Runtime(device="cuda").resolve(gpus=gpus)


def test_the_key_leaves_the_thread_count_out() -> None:
    assert CPU.key() == {
        "device": "cpu",
        "precision": "fp32",
        "channels_last": False,
        "tf32": False,
        "compile": False,
    }


def test_tf32_tells_keys_apart_on_a_gpu_alone() -> None:
    values: tuple[bool | Literal["auto"], ...] = ("auto", True, False)
    on_cpu = [Runtime(tf32=each).resolve(cpus=1, gpus=0).key() for each in values]
    assert on_cpu == [CPU.key()] * 3
    on_gpu = [Runtime(device="cuda", tf32=each).resolve(cpus=1, gpus=1).key() for each in values]
    assert [key["tf32"] for key in on_gpu] == [True, True, False]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("tf32", [True, False])
def test_apply_says_how_exact_a_gpu_is(tf32: bool) -> None:
    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    matmul.allow_tf32 = convolution.allow_tf32 = not tf32
    CPU.model_copy(update={"tf32": tf32}).apply()
    assert (matmul.allow_tf32, convolution.allow_tf32) == (tf32, tf32)


@pytest.mark.parametrize("threads", [0, -1, "few"])
def test_a_thread_count_that_cannot_be_is_refused(threads: object) -> None:
    with pytest.raises(ValidationError, match="threads"):
        Runtime.model_validate({"threads": threads})


@pytest.mark.usefixtures("threads")
def test_apply_sets_the_threads() -> None:
    CPU.model_copy(update={"threads": 2}).apply()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("channels_last", [True, False])
def test_networks_and_images_take_the_memory_format(channels_last: bool) -> None:
    runtime = CPU.model_copy(update={"channels_last": channels_last})
    kind = torch.channels_last if channels_last else torch.contiguous_format
    weight = runtime.place(nn.Conv2d(3, 4, 3)).weight
    images = runtime.arrange(torch.rand(2, 3, 5, 5))
    assert weight.is_contiguous(memory_format=kind)
    assert images.is_contiguous(memory_format=kind)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_autocast_is_for_bf16_alone(precision: str, dtype: torch.dtype) -> None:
    runtime = CPU.model_copy(update={"precision": precision})
    with runtime.autocast():
        assert nn.Linear(2, 2)(torch.rand(1, 2)).dtype == dtype


def test_a_named_gpu_may_be_on_another_host() -> None:
    """A driver without one settles trials that hold a share elsewhere."""
    assert Runtime(device="cuda").resolve(cpus=1, gpus=0.25).device == "cuda"
