from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from real_sweep import prepare

from noisetune.sweep.resources.auto_share import candidates, measure, settle
from noisetune.sweep.resources.calibration import peak_bytes
from noisetune.sweep.resources.capacity import MEMORY_MARGIN, gpu_share
from noisetune.training.feeding import RESIDENT_SHARE

SPACE = {
    "conditions": {"noise.rate": [0.2, 0.4], "pretrain.method": ["none", "simclr"]},
    "parameters": {
        "finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "finetune.batch_size": {"choices": [16, 32]},
    },
}
GIB = 2**30


@pytest.mark.parametrize(
    ("peak", "trials", "share"),
    [
        (4 * GIB, 16, 1 / 16),
        (10 * GIB, 16, 0.1666),
        (20 * GIB, 16, 1 / 3),
        (33 * GIB, 16, 0.5),
        (34 * GIB, 16, 1.0),
        (200 * GIB, 16, 1.0),
        (0, 4, 0.25),
    ],
)
def test_the_share_is_rounded_up_to_one_of_so_many(peak: int, trials: int, share: float) -> None:
    assert gpu_share(peak, 80 * GIB, trials) == pytest.approx(share, abs=1e-4)


@given(peak=st.integers(0, 2**37), total=st.integers(2**30, 2**37), trials=st.integers(0, 64))
def test_so_many_shares_fit_a_gpu_and_each_holds_a_trial(
    peak: int, total: int, trials: int
) -> None:
    share = gpu_share(peak, total, trials)
    k = round(1 / share)
    assert 0 < share * k <= 1
    assert k <= max(1, trials)
    assert k == 1 or MEMORY_MARGIN * peak <= total / k


@pytest.mark.long
def test_auto_is_settled_when_the_sweep_starts(ray_at_hand: None) -> None:
    sweep = prepare(SPACE, "auto", resources="auto", sampler={"name": "random"})
    assert sweep.config.resources.auto
    settled = settle(sweep).config.resources
    assert (settled.cpu, settled.auto) == (1.0, False)
    assert (settled.gpu > 0) == torch.cuda.is_available()


def test_given_resources_stay(ray_at_hand: None) -> None:
    given = {"cpu": 2, "gpu": 0.5}
    sweep = prepare(SPACE, "given", resources=given, sampler={"name": "random"})
    assert settle(sweep) is sweep


def test_a_trial_is_measured_for_each_method_and_batch() -> None:
    sweep = prepare(SPACE, "auto", resources="auto", sampler={"name": "random"})
    kinds = [(each.pretrain.method, each.finetune.batch_size) for each in candidates(sweep)]
    assert sorted(kinds) == [("none", 16), ("none", 32), ("simclr", 16), ("simclr", 32)]


@pytest.mark.parametrize("images", [0.3, 3.0])
@pytest.mark.parametrize("way", ["device", "stream"])
def test_a_share_has_room_for_the_images_that_stay_on_the_gpu(
    tiny_trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, way: str, images: float
) -> None:
    """And it is so large that they do stay: as its peak is, or larger."""
    config = tiny_trial(runtime={"images": way})
    data = config.data.load()
    peak = round(data.x_train.nbytes / images)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak)
    needed = peak_bytes(config, data)
    if way == "stream":
        assert needed == peak
    else:
        assert needed >= peak + data.x_train.nbytes
        assert data.x_train.nbytes <= RESIDENT_SHARE * needed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_peak_on_a_gpu_grows_with_the_network(tiny_trial: Callable[..., Any]) -> None:
    auto = {"device": "cuda", "precision": "auto", "channels_last": "auto"}
    trials = [tiny_trial(model={"width": width}, runtime=auto) for width in (4, 64)]
    (small, total), (large, _) = (measure([each.to_json()]) for each in trials)
    assert 0 < small < large < total
