import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from noisetune.training.lars import LARS
from noisetune.training.optimisation import Optimisation

CPU = torch.device("cpu")
ROUNDING = 1 + 1e-12
plans = st.builds(
    Optimisation,
    epochs=st.integers(1, 200),
    lr=st.floats(1e-9, 1e3),
    schedule=st.sampled_from(["constant", "cosine"]),
    warmup_epochs=st.floats(0, 300),
)
shares = st.floats(0, 1)


@given(images=st.integers(2, 500), size=st.integers(3, 300))
def test_no_batch_is_larger_than_asked_for_or_of_a_single_image(images: int, size: int) -> None:
    sizes = Optimisation(batch_size=size).batches(images)
    assert sum(sizes) == images
    assert 2 <= min(sizes) <= max(sizes) <= size
    assert len(sizes) == math.ceil(images / size)
    shared = 2 if images > size and images % size == 1 else 1
    assert sizes[:-shared] == [size] * (len(sizes) - shared)


@pytest.mark.parametrize(
    ("images", "sizes"),
    [(8, [4, 4]), (10, [4, 4, 2]), (9, [4, 3, 2]), (5, [3, 2]), (3, [3]), (0, [])],
)
def test_batches_by_hand(images: int, sizes: list[int]) -> None:
    assert Optimisation(batch_size=4).batches(images) == sizes


def test_constant_stays() -> None:
    plan = Optimisation(epochs=10, lr=0.5)
    assert [plan.rate(epoch) for epoch in (0, 0.1, 5, 10)] == [0.5] * 4


def test_cosine_falls_from_the_peak_through_its_half_to_nothing() -> None:
    plan = Optimisation(epochs=10, lr=0.5, schedule="cosine")
    assert [plan.rate(epoch) for epoch in (0, 5, 10)] == pytest.approx([0.5, 0.25, 0])


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warm_up_rises_linearly_to_the_peak(schedule: str) -> None:
    plan = Optimisation(epochs=10, lr=0.8, schedule=schedule, warmup_epochs=4)
    assert [plan.rate(epoch) for epoch in (0, 1, 2, 4)] == pytest.approx([0, 0.2, 0.4, 0.8])


def test_cosine_after_warm_up_spans_what_is_left() -> None:
    plan = Optimisation(epochs=10, lr=0.8, schedule="cosine", warmup_epochs=4)
    assert [plan.rate(epoch) for epoch in (7, 10)] == pytest.approx([0.4, 0])


@given(plan=plans, share=shares)
def test_a_rate_is_never_below_nothing_nor_above_the_peak(plan: Optimisation, share: float) -> None:
    assert 0 <= plan.rate(share * plan.epochs) <= plan.lr * ROUNDING


@given(plan=plans, shares=st.tuples(shares, shares))
def test_a_rate_rises_before_the_end_of_warm_up_and_never_after(
    plan: Optimisation, shares: tuple[float, float]
) -> None:
    early, late = sorted(share * plan.epochs for share in shares)
    if late <= plan.warmup_epochs:
        assert plan.rate(early) <= plan.rate(late) * ROUNDING
    if early >= plan.warmup_epochs:
        assert plan.rate(early) * ROUNDING >= plan.rate(late)


@given(plan=plans, more=st.integers(1, 100), share=shares)
def test_a_horizon_free_schedule_begins_alike_however_long_it_is(
    plan: Optimisation, more: int, share: float
) -> None:
    longer = plan.model_copy(update={"epochs": plan.epochs + more})
    epoch = share * plan.epochs
    assert plan.horizon_free == (plan.schedule == "constant")
    assert not plan.horizon_free or plan.rate(epoch) == longer.rate(epoch)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("lars", LARS),
    ],
)
def test_an_optimiser_by_name_has_the_settings(
    name: str, kind: type[torch.optim.Optimizer]
) -> None:
    plan = Optimisation(optimizer=name, lr=0.3, weight_decay=0.02, momentum=0.7)
    optimizer = plan.build_optimizer(nn.Linear(2, 2), CPU)
    assert type(optimizer) is kind
    assert optimizer.defaults["lr"] == 0.3
    assert optimizer.defaults["weight_decay"] == 0.02
    assert optimizer.defaults.get("momentum", 0.7) == 0.7


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_steps_with_and_without_momentum(momentum: float) -> None:
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)
    plan = Optimisation(optimizer="sgd", lr=0.1, weight_decay=0, momentum=momentum)
    optimizer = plan.build_optimizer(weight, CPU)
    weight(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    assert weight.weight.item() == pytest.approx(-0.1 * (1 + momentum))


def test_frozen_weights_are_left_out() -> None:
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    (group,) = Optimisation().build_optimizer(module, CPU).param_groups
    assert group["params"] == [module.weight]


class Tokens(nn.Module):
    """With parameters of three dimensions that are no weights of a layer."""

    undecayed = ("token", "inner.scale")

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.inner = nn.ParameterDict({"scale": torch.ones(4, 1, 1), "kernel": torch.ones(4, 1, 1)})
        self.patches, self.norm = nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "lars"])
def test_weights_decay_and_biases_norms_and_what_is_named_do_not(optimizer: str) -> None:
    module = nn.Sequential(Tokens(), nn.Linear(4, 2))
    plan = Optimisation(optimizer=optimizer, weight_decay=0.1, decay="weights")
    groups = plan.build_optimizer(module, CPU).param_groups
    decays = {weight: group["weight_decay"] for group in groups for weight in group["params"]}
    decayed = {name for name, weight in module.named_parameters() if decays[weight] == 0.1}
    assert decayed == {"0.inner.kernel", "0.patches.weight", "1.weight"}
    assert set(decays.values()) == {0.0, 0.1}


def test_where_all_decays_all_is_one_group_in_the_modules_order() -> None:
    module = nn.Sequential(Tokens(), nn.Linear(4, 2))
    (group,) = Optimisation().build_optimizer(module, CPU).param_groups
    assert list(map(id, group["params"])) == list(map(id, module.parameters()))
    assert group["scale"] == 1


def test_what_stands_at_its_neutral_value_is_in_no_key() -> None:
    assert Optimisation().unkeyed == {"decay", "clip_norm"}
    assert Optimisation(decay="weights").unkeyed == {"clip_norm"}
    assert Optimisation(clip_norm=1).unkeyed == {"decay"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0},
        {"lr": float("inf")},
        {"epochs": 0},
        {"batch_size": 2},
        {"momentum": 1},
        {"weight_decay": -1},
        {"decay": "biases"},
        {"clip_norm": 0},
        {"clip_norm": -1},
        {"clip_norm": float("inf")},
        {"warmup_epochs": -1},
        {"optimizer": "lion"},
        {"schedule": "step"},
        {"learning_rate": 1},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Optimisation.model_validate(wrong)
