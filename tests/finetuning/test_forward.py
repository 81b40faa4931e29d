"""Forward correction: its loss, its estimate, and who may read the truth."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from by_hand import assert_is_the_papers, batches, pull
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from noisetune.finetuning.base import Task
from noisetune.finetuning.forward import (
    Config,
    Corrected,
    anchor_matrix,
    corrected_cross_entropy,
)
from noisetune.noise.symmetric import Config as Symmetric
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.testing import check
from noisetune.testing.trials import checkpoints, tiny_inputs

TRUE = {"matrix": "true", "oracle": True}
matrices = st.integers(0, 2**32 - 1)


def stochastic(classes: int, seed: int) -> Tensor:
    rows = torch.rand(classes, classes, generator=torch.Generator().manual_seed(seed))
    return rows.double() / rows.double().sum(1, keepdim=True)


def symmetric(classes: int, rate: float) -> Tensor:
    own = torch.eye(classes)
    return (1 - rate) * own + rate / (classes - 1) * (1 - own)


@given(batches(), matrices)
def test_values_and_gradients_are_the_papers(batch: tuple[Tensor, Tensor], seed: int) -> None:
    matrix = stochastic(batch[0].shape[1], seed)

    def equation(p: list[float], label: int) -> float:
        return -math.log(sum(own * float(matrix[i, label]) for i, own in enumerate(p)))

    assert_is_the_papers(lambda *given: corrected_cross_entropy(*given, matrix), equation, *batch)


@given(batches())
def test_with_the_identity_it_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = 30 * batch[0], batch[1]
    plain = corrected_cross_entropy(logits, labels, torch.eye(logits.shape[1]))
    torch.testing.assert_close(plain, F.cross_entropy(logits, labels))


def test_what_the_noise_explains_pulls_no_more() -> None:
    """A network that is right has nothing to learn from wrong labels, on average."""
    sure, matrix = torch.tensor([[40.0, 0.0, 0.0]] * 10), symmetric(3, 0.4)
    given = torch.tensor([0] * 6 + [1] * 2 + [2] * 2)
    assert pull(lambda *batch: corrected_cross_entropy(*batch, matrix), sure, given) < 1e-6
    assert pull(F.cross_entropy, sure, given) > 0.1


@given(st.integers(2, 6), matrices, st.integers(1, 40))
def test_anchors_tell_the_matrix(classes: int, seed: int, copies: int) -> None:
    """Of a network that knows the chance of each label, and has sure images of every class."""
    matrix = stochastic(classes, seed)
    # Each class must be the most likely reason of its own label.
    matrix = (matrix + 2 * torch.eye(classes)) / 3
    sure = matrix.repeat(copies, 1)
    torch.testing.assert_close(anchor_matrix(sure, 1.0), matrix, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 300), st.floats(0.01, 1))
def test_an_anchor_is_the_image_of_its_quantile(count: int, quantile: float) -> None:
    first = torch.rand(count, generator=torch.Generator().manual_seed(count)).double()
    made = anchor_matrix(torch.stack([first, 1 - first], dim=1), quantile)
    wanted = [np.quantile(each, quantile, method="inverted_cdf") for each in (first, 1 - first)]
    assert made.diagonal().tolist() == pytest.approx(wanted, abs=1e-5)
    assert made.sum(1).tolist() == pytest.approx([1, 1])
    assert (made > 0).all()


@pytest.mark.parametrize(
    ("epochs", "share", "epoch"), [(10, 0.3, 3), (2, 0.01, 1), (2, 0.99, 1), (5, 0.99, 4)]
)
def test_an_epoch_comes_before_the_estimate_and_one_after(
    epochs: int, share: float, epoch: int
) -> None:
    method = Config(epochs=epochs, estimate_after=share)
    criterion = method.criterion(Task(torch.tensor([0, 1]), 2))
    asked = []

    def predict() -> Tensor:
        asked.append(now)
        return torch.tensor([[0.7, 0.3], [0.2, 0.8]])

    for now in range(epochs):
        criterion.epoch_begins(now, predict)
        estimated = not criterion.matrix.equal(torch.eye(2))
        assert estimated == (now >= epoch)
    assert asked == [epoch]


def matrix_of(method: Config, rate: float, epoch: int) -> Tensor:
    """The matrix of a tiny trial after so many epochs."""
    inputs = tiny_inputs(finetune=method, noise=Symmetric(rate=rate))
    key = finetune_key(inputs.config, inputs.data, None, 0)
    made = checkpoints(finetune_stage(inputs, None, key))
    return made[epoch].tensors["criterion.matrix"]


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_the_true_matrix_is_the_noises(rate: float) -> None:
    method = Config.model_validate({"epochs": 2, "batch_size": 16, **TRUE})
    torch.testing.assert_close(matrix_of(method, rate, 1), symmetric(10, rate))


def test_the_estimate_is_kept_with_the_network() -> None:
    method = Config(epochs=4, batch_size=16)
    assert matrix_of(method, 0.4, 2).equal(torch.eye(10))
    estimate = matrix_of(method, 0.4, 3)
    assert not estimate.equal(torch.eye(10))
    assert estimate.sum(1).tolist() == pytest.approx([1] * 10)


@pytest.mark.long
def test_with_the_true_matrix_it_keeps_its_promises() -> None:
    check(Config, **TRUE)


def test_a_singular_matrix_will_do() -> None:
    task = Task(torch.tensor([0, 1]), 2, torch.full((2, 2), 0.5))
    criterion = Config.model_validate(TRUE).criterion(task)
    assert isinstance(criterion, Corrected)
    logits = torch.randn(2, 2, requires_grad=True)
    loss = criterion.loss(logits, task.labels, torch.arange(2))
    assert loss.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matrix": "true"}, "matrix: true is the truth, .* matrix: estimated, or set oracle: tr"),
        ({"matrix": True}, "matrix: true is the truth"),
        ({"oracle": True}, "oracle: true reads the truth, and matrix: estimated does not"),
        ({"epochs": 1}, "epochs: 1: must be two or more"),
    ],
    ids=str,
)
def test_the_truth_is_read_where_it_is_asked_for_alone(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(settings)


def test_yamls_true_is_the_true_matrix() -> None:
    assert Config.model_validate({"matrix": True, "oracle": True}).matrix == "true"


def test_the_estimate_is_paid_for() -> None:
    assert Config(epochs=4).passes == pytest.approx(1 + 1 / 12)
    assert Config.model_validate(TRUE).passes == 1


@pytest.mark.parametrize("other", [{"estimate_after": 0.2}, {"anchor_quantile": 0.97}], ids=str)
def test_how_it_would_estimate_is_no_part_of_a_key_that_holds_the_truth(
    other: dict[str, Any],
) -> None:
    assert Config.model_validate(other).identity() != Config().identity()
    true, same = (Config.model_validate(each) for each in (TRUE, TRUE | other))
    assert true.identity() == same.identity() != Config().identity()
