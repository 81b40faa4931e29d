import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from noisetune.config import TrialConfig
from noisetune.models.convnext_tiny import Config as ConvNeXtTiny
from noisetune.models.preact_resnet18 import Config as PreActResNet18
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.models.resnet34 import Config as ResNet34
from noisetune.models.vit_small import Config as ViTSmall
from noisetune.models.vit_tiny import Config as ViTTiny
from noisetune.models.wide_resnet import Config as WideResNet
from noisetune.training import speed as measured
from noisetune.training.runtime import Runtime
from noisetune.training.speed import batches_up_to, fastest, forward_flops, settle
from noisetune.training.timing import SLOW

CPU = Runtime(device="cpu", threads=1, compile=False)
SHAPE = (1, 8, 8)
SECONDS = {
    "fp32 contiguous": 1.0,
    "fp32 channels_last": 1.0,
    "bf16 contiguous": 1.0,
    "bf16 channels_last": 1.0,
}


LEFT_OUT = {"bf16 channels_last": "the process was ended by SIGSEGV"}


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Measuring is on, in a folder of its own, of every network; has what was to be measured.

    A plain and two other ways have a time, the fourth crashed.
    """
    asked: list[Any] = []

    def measure(*given: Any) -> tuple[dict[str, float], dict[str, str]]:
        asked.append(given)
        return {way: 1.0 for way in given[4] if way not in LEFT_OUT}, LEFT_OUT

    monkeypatch.setenv("NOISETUNE_MEASURE", "1")
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(measured, "SMALL_FLOPS", 0)
    monkeypatch.setattr(measured, "measure", measure)
    return asked


@pytest.mark.parametrize(
    ("faster", "precision", "channels_last"),
    [
        ({}, "fp32", False),
        ({"bf16 contiguous": 0.9}, "fp32", False),
        ({"bf16 contiguous": 0.8}, "bf16", False),
        ({"bf16 channels_last": 0.5}, "bf16", True),
        ({"fp32 channels_last": 0.5, "bf16 contiguous": 0.45}, "fp32", True),
        ({"bf16 contiguous": 0.5, "bf16 channels_last": 0.48}, "bf16", False),
    ],
)
def test_only_a_clear_gain_leaves_fp32_and_the_plain_format(
    faster: dict[str, float], precision: str, channels_last: bool
) -> None:
    chosen = settle(CPU, SECONDS | faster)
    assert (chosen.precision, chosen.channels_last) == (precision, channels_last)


def test_what_was_asked_for_is_kept() -> None:
    fast = SECONDS | {"bf16 channels_last": 0.1}
    assert settle(CPU.model_copy(update={"precision": "fp32"}), fast).precision == "fp32"
    plain = settle(CPU.model_copy(update={"channels_last": False}), fast)
    assert (plain.precision, plain.channels_last) == ("fp32", False)


def test_a_way_that_crashes_is_warned_of_and_one_that_is_slow_is_not(
    measuring: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(LEFT_OUT, "bf16 contiguous", SLOW)
    with caplog.at_level("INFO"):
        fastest(ResNet18(width=4), SHAPE, CPU, 64)
    assert "SIGSEGV" in caplog.text
    assert SLOW not in caplog.text


def test_a_second_trial_on_the_machine_remembers(measuring: list[Any], tmp_path: Path) -> None:
    first = fastest(ResNet18(width=4), SHAPE, CPU, 64)
    more = CPU.model_copy(update={"threads": 3})
    assert fastest(ResNet18(width=4), SHAPE, more, 100).key() == first.key()
    assert len(measuring) == 1
    (file,) = (tmp_path / "speed").iterdir()
    kept = json.loads(file.read_text())
    assert kept["seconds"].keys() | kept["left_out"] == SECONDS.keys()
    assert kept["left_out"]["bf16 channels_last"] == LEFT_OUT["bf16 channels_last"]
    assert kept["what"]["torch"] == torch.__version__
    kept["seconds"] = {"fp32 contiguous": 1.0, "bf16 contiguous": 0.1}
    file.write_text(json.dumps(kept))
    assert fastest(ResNet18(width=4), SHAPE, CPU, 64).precision == "bf16"
    assert len(measuring) == 1


@pytest.mark.parametrize(
    ("batch", "measured_on"),
    [(3, [2]), (16, [16]), (17, [16]), (64, [16, 64]), (128, [16, 64, 128]), (999, [16, 64, 256])],
)
def test_it_is_measured_up_to_the_trials_own_batch(
    measuring: list[Any], batch: int, measured_on: list[int]
) -> None:
    raw = {
        "data": {"train_samples": 60, "test_samples": 30},
        "pretrain": {"batch_size": max(4, batch)},
        "finetune": {"batch_size": batch},
        "model": {"width": 4},
        "runtime": {"device": "cpu"},
    }
    if batch < 4:
        raw["pretrain"] = {"method": "none"}
    TrialConfig.parse(raw, "x").resolve(cpus=1)
    (asked,) = measuring
    assert asked[1:3] == ((1, 8, 8), measured_on)


@given(first=st.integers(1, 300), batch=st.integers(1, 300))
def test_batches_grow_to_the_last(first: int, batch: int) -> None:
    sizes = batches_up_to(batch, first)
    assert sizes[-1] == batch
    assert sizes == sorted(set(sizes))
    assert sizes[0] == min(first, batch)


@pytest.mark.parametrize("content", ["", "{}", '{"seconds": {"fp32 contiguous": "x"}}'])
def test_a_damaged_file_is_measured_again(
    measuring: list[Any], tmp_path: Path, content: str
) -> None:
    fastest(ResNet18(width=4), SHAPE, CPU, 64)
    (file,) = (tmp_path / "speed").iterdir()
    file.write_text(content)
    fastest(ResNet18(width=4), SHAPE, CPU, 64)
    assert len(measuring) == 2
    assert json.loads(file.read_text())["seconds"]["fp32 contiguous"] == 1


def test_a_folder_that_cannot_be_written_is_no_error(
    measuring: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "file"))
    assert not fastest(ResNet18(width=4), SHAPE, CPU, 64).depends_on_trial


def test_where_nothing_could_be_measured_nothing_is_settled_or_kept(
    measuring: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "measure", lambda *_: ({}, {"fp32 contiguous": "no time"}))
    assert fastest(ResNet18(width=4), SHAPE, CPU, 64) == CPU
    assert not (tmp_path / "speed").exists()


@pytest.mark.parametrize("unsafe", [True, False])
def test_what_is_known_to_corrupt_memory_is_not_tried(
    measuring: list[Any], monkeypatch: pytest.MonkeyPatch, unsafe: bool
) -> None:
    monkeypatch.setattr(measured, "overruns", lambda *_: unsafe)
    fastest(ResNet18(width=4), SHAPE, CPU, 64)
    (asked,) = measuring
    assert ("fp32 channels_last" in asked[4]) is not unsafe


def test_small_networks_are_fp32_unmeasured(
    measuring: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "SMALL_FLOPS", 4e7)
    config = TrialConfig.parse({"model": {"width": 16}}, "x").resolve(cpus=1, gpus=0)
    assert (config.runtime.precision, config.runtime.channels_last) == ("fp32", False)
    assert measuring == []


def test_what_is_written_down_is_not_measured(measuring: list[Any]) -> None:
    raw = {"runtime": {"device": "cpu", "precision": "bf16", "channels_last": True}}
    assert TrialConfig.parse(raw, "x").resolve(cpus=1).runtime.precision == "bf16"
    assert measuring == []


def test_the_flops_of_a_resnet18_are_those_of_the_literature() -> None:
    """0.56 billion multiply-adds of a 32x32 image (Kuangliu's and others' CIFAR ResNet18)."""
    assert forward_flops(ResNet18(width=64), (3, 32, 32)) == pytest.approx(2 * 0.56e9, rel=0.02)


def vit_flops(width: int, depth: int, patch: int, shape: tuple[int, int, int]) -> int:
    """Of the patches; and in each block of projections, of both products of attention, of the MLP.
    A multiply-add is two operations; additions alone, normalisations and the softmax are none."""
    patches = shape[1] * shape[2] // patch**2
    tokens = patches + 1
    embedding = patches * shape[0] * patch**2 * width
    block = tokens * (3 + 1 + 4 + 4) * width**2 + 2 * tokens**2 * width
    return 2 * (embedding + depth * block)


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize(
    ("model", "width", "settings", "shape"),
    [
        (ViTTiny, 192, {"patch": 4, "depth": 12}, (3, 32, 32)),
        (ViTTiny, 192, {"patch": 16, "depth": 12}, (3, 224, 224)),
        (ViTTiny, 192, {"patch": 1, "depth": 2}, (1, 8, 16)),
        (ViTSmall, 384, {"patch": 4, "depth": 3}, (3, 32, 32)),
    ],
)
def test_the_flops_of_a_vit_are_those_of_its_equations(
    model: Any, width: int, settings: dict[str, int], shape: tuple[int, int, int], pool: str
) -> None:
    counted = forward_flops(model(**settings, pool=pool), shape)
    assert counted == vit_flops(width, **settings, shape=shape)


def test_the_flops_of_attention_count_as_on_the_cpu() -> None:
    """Where it is one kernel: nothing is missing of what a network really computes there."""
    model, shape = ViTTiny(depth=2), (3, 16, 16)
    network = model.build(shape[0], shape[1:])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, *shape))
    assert "scaled_dot_product" in str(counter.get_flop_counts()["Global"].keys())
    assert counter.get_total_flops() == forward_flops(model, shape)


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (ResNet34(stem="large"), (3, 224, 224), 3.66e9),
        (PreActResNet18(), (3, 32, 32), 0.56e9),
        (WideResNet(depth=28, widen=10), (3, 32, 32), 5.25e9),
        (ConvNeXtTiny(patch=4), (3, 224, 224), 4.46e9),
    ],
)
def test_the_multiply_adds_are_those_of_the_literature(
    model: Any, shape: tuple[int, int, int], expected: float
) -> None:
    """torchvision's list for its own, the paper's figure for the wide one."""
    assert forward_flops(model, shape) == pytest.approx(2 * expected, rel=0.01)


@pytest.mark.parametrize(
    ("device", "epochs", "compiled"), [("cuda", 900, True), ("cuda", 1, False), ("cpu", 900, False)]
)
def test_compilation_is_for_long_runs_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, epochs: int, compiled: bool
) -> None:
    monkeypatch.setenv("NOISETUNE_MEASURE", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    raw = {
        "model": {"width": 4},
        "pretrain": {"epochs": epochs, "batch_size": 64},
        "runtime": {"device": device, "precision": "fp32", "channels_last": False},
    }
    assert TrialConfig.parse(raw, "x").resolve(cpus=1).runtime.compile is compiled
