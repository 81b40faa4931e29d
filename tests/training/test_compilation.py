import logging
from typing import Any

import pytest
import torch
from torch import nn

from noisetune.training.compilation import Compiled
from noisetune.training.runtime import Runtime


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


def losses(network: nn.Module, call: Any) -> list[float]:
    """Three steps of gradient descent, called through `call`."""
    images, values = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        loss = call(images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def test_compiled_steps_are_those_of_the_network(network: nn.Module) -> None:
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    eager = losses(network, network)
    network.load_state_dict(weights)
    assert losses(network, Compiled(network, "aot_eager")) == pytest.approx(eager, rel=1e-4)
    assert network.state_dict().keys() == weights.keys()


def test_what_cannot_be_compiled_runs_as_it_is_and_says_why_once(
    network: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(graph: object, inputs: object) -> Any:
        raise RuntimeError("no compiler here")

    weights = {name: value.clone() for name, value in network.state_dict().items()}
    eager = losses(network, network)
    network.load_state_dict(weights)
    with caplog.at_level(logging.WARNING):
        assert losses(network, Compiled(network, fail)) == eager
    said = [each.message for each in caplog.records if "runtime.compile" in each.message]
    assert len(said) == 1
    assert "no compiler here" in said[0]


def test_an_error_of_the_network_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match=r"size|shape"):
        Compiled(nn.Linear(3, 2), "eager")(torch.rand(4, 5))


@pytest.mark.parametrize("compiled", [True, False])
def test_only_a_runtime_that_says_so_compiles(network: nn.Module, compiled: bool) -> None:
    runtime = Runtime(device="cpu", precision="fp32", compile=compiled)
    assert isinstance(runtime.compiled(network), Compiled) == compiled
