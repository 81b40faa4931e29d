import math
from collections.abc import Generator, Iterator

import pytest
import torch
from torch import Tensor, nn

from noisetune.records import Tick
from noisetune.training import loop
from noisetune.training.loop import (
    DivergedError,
    pack_module,
    pack_optimizer,
    run_epoch,
    unpack_module,
    unpack_optimizer,
)
from noisetune.training.optimisation import Optimisation

PLAN = Optimisation(epochs=4, lr=0.5, warmup_epochs=4)
SIZES = [8, 8, 8]


def drain(events: Generator[Tick, None, float]) -> tuple[list[Tick], float]:
    """The ticks and the returned loss."""
    ticks = []
    while True:
        try:
            ticks.append(next(events))
        except StopIteration as stop:
            return ticks, stop.value


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def losses_of(module: nn.Module) -> Iterator[Tensor]:
    """The loss of each of three batches, computed when it is asked for."""
    batches = torch.randn(3, 8, 3, generator=torch.Generator().manual_seed(0))
    return (module(batch).square().mean() for batch in batches)


Trained = tuple[nn.Module, torch.optim.Optimizer]


def untrained(optimizer: str) -> Trained:
    module = network()
    plan = PLAN.model_copy(update={"optimizer": optimizer})
    return module, plan.build_optimizer(module, torch.device("cpu"))


def train(trained: Trained, epoch: int) -> None:
    module, optimizer = trained
    drain(run_epoch("x", PLAN, epoch, SIZES, optimizer, losses_of(module)))


def pack(trained: Trained) -> dict[str, Tensor]:
    return pack_module("network", trained[0]) | pack_optimizer(trained[1])


def test_an_epoch_returns_the_mean_loss_of_its_images() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1)
    losses = (0 * weight + loss for loss in (1.0, 2.0, 6.0))
    _, mean = drain(run_epoch("x", PLAN, 0, [8, 8, 2], optimizer, losses))
    assert mean == pytest.approx(2)


def test_each_batch_is_stepped_with_the_rate_of_its_middle() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=99)
    drain(run_epoch("x", PLAN, 1, [8, 8], optimizer, (weight.sum() for _ in range(2))))
    assert weight.item() == pytest.approx(-(PLAN.rate(1.25) + PLAN.rate(1.75)))


def test_a_long_epoch_says_how_far_the_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TICK_SECONDS", -1.0)
    module, optimizer = untrained("adam")
    ticks, _ = drain(run_epoch("pretrain", PLAN, 3, SIZES, optimizer, losses_of(module)))
    assert [tick.stage for tick in ticks] == ["pretrain"] * 3
    assert [tick.done for tick in ticks] == pytest.approx([10 / 12, 11 / 12, 1])


def test_a_short_epoch_says_nothing() -> None:
    module, optimizer = untrained("adam")
    assert drain(run_epoch("x", PLAN, 0, SIZES, optimizer, losses_of(module)))[0] == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_a_divergence(value: float) -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1)
    losses = [1.0, value, 1.0]
    with pytest.raises(DivergedError, match=r"the loss of epoch 3 is (nan|inf)"):
        drain(run_epoch("x", PLAN, 2, SIZES, optimizer, (loss * weight.sum() for loss in losses)))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "lars"])
def test_what_is_unpacked_goes_on_as_what_was_packed(optimizer: str) -> None:
    first, second = untrained(optimizer), untrained(optimizer)
    train(first, epoch=0)
    tensors = pack(first)
    unpack_module("network", tensors, second[0])
    unpack_optimizer(tensors, second[1])
    train(first, epoch=1)
    train(second, epoch=1)
    expected, found = pack(first), pack(second)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_an_optimisers_state_is_unpacked_into_the_memory_format_of_its_weight() -> None:
    module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    module(torch.rand(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    before = optimizer.state[module.weight]["exp_avg"].clone()
    unpack_optimizer(loop.pack_optimizer(optimizer), optimizer)
    after = optimizer.state[module.weight]["exp_avg"]
    assert torch.equal(after, before)
    assert after.stride() == module.weight.stride()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "lars"])
def test_packed_tensors_are_copies(optimizer: str) -> None:
    trained = untrained(optimizer)
    train(trained, epoch=0)
    tensors = pack(trained)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    train(trained, epoch=1)
    assert all(torch.equal(tensors[name], before[name]) for name in tensors)


@pytest.mark.parametrize("limit", [0.05, 1e9])
def test_gradients_are_no_longer_than_the_limit(limit: float) -> None:
    """All of them as one vector, against a plain loop; shorter ones stay as they are."""
    module, by_hand = network(), network()
    by_hand.load_state_dict(module.state_dict())
    plan = Optimisation(epochs=1, optimizer="sgd", lr=0.5, momentum=0, clip_norm=limit)
    optimizer = plan.build_optimizer(module, torch.device("cpu"))
    drain(run_epoch("x", plan, 0, SIZES, optimizer, losses_of(module)))
    for loss in losses_of(by_hand):
        weights = list(by_hand.parameters())
        gradients = torch.autograd.grad(loss, weights)
        length = math.sqrt(sum(float(each.square().sum()) for each in gradients))
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= 0.5 * (gradient * min(1, limit / length) + plan.weight_decay * weight)
    torch.testing.assert_close(module.state_dict(), by_hand.state_dict(), rtol=1e-4, atol=1e-6)


def test_each_group_learns_with_its_part_of_the_rate_also_after_a_checkpoint() -> None:
    def begun() -> tuple[nn.Module, torch.optim.Optimizer]:
        module = network()
        scales = dict.fromkeys(module[0].parameters(), 0.25)
        plan = PLAN.model_copy(update={"decay": "weights"})
        return module, plan.build_optimizer(module, torch.device("cpu"), scales)

    first, second = begun(), begun()
    train(first, epoch=0)
    unpack_optimizer(pack(first), second[1])
    train(second, epoch=1)
    last, groups = PLAN.rate(1 + 2.5 / 3), second[1].param_groups
    rates = {weight: group["lr"] for group in groups for weight in group["params"]}
    for name, weight in second[0].named_parameters():
        assert rates[weight] == last * (0.25 if name.startswith("0.") else 1)


def test_strip_takes_its_own_prefix_alone() -> None:
    tensors = {"net.a": torch.ones(1), "network.a": torch.zeros(1), "a.net.b": torch.zeros(1)}
    assert loop.strip("net", tensors) == {"a": torch.ones(1)}
