"""Early-learning regularisation against its paper's equations, by a loop over images."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from noisetune.config import TrialConfig
from noisetune.finetuning.base import Task
from noisetune.finetuning.elr import Config, EarlyLearning, clamped_softmax
from noisetune.stages.base import Checkpoint, Inputs, Stage
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.labels import draw_labels

TinyTrial = Callable[..., TrialConfig]
IMAGES, CLASSES = 7, 4


def criterion(labels: torch.Tensor | None = None, **fields: Any) -> EarlyLearning:
    labels = torch.arange(IMAGES) % CLASSES if labels is None else labels
    made = Config(**fields).criterion(Task(labels, CLASSES))
    assert isinstance(made, EarlyLearning)
    return made


def by_hand(
    logits: list[list[float]],
    labels: list[int],
    targets: dict[int, list[float]],
    rows: list[int],
    momentum: float,
    weight: float,
) -> tuple[float, list[list[float]]]:
    """Loss (eq. 6) and gradient (lemma 2) of a batch; `targets` are brought forward (eq. 9)."""
    loss, gradients = 0.0, []
    for scores, label, row in zip(logits, labels, rows, strict=True):
        total = sum(math.exp(score) for score in scores)
        p = [math.exp(score) / total for score in scores]
        targets[row] = [
            momentum * old + (1 - momentum) * new for old, new in zip(targets[row], p, strict=True)
        ]
        t = targets[row]
        agreement = sum(own * kept for own, kept in zip(p, t, strict=True))
        loss += -math.log(p[label]) + weight * math.log(1 - agreement)
        gradients.append([
            p[c] - (c == label)
            + weight * p[c] / (1 - agreement) * sum((t[k] - t[c]) * p[k] for k in range(CLASSES))
            for c in range(CLASSES)
        ])  # fmt: skip
    count = len(rows)
    return loss / count, [[each / count for each in row] for row in gradients]


@given(
    seed=st.integers(0, 2**32 - 1), momentum=st.floats(0, 0.99), weight=st.floats(0, 10),
    scale=st.floats(0.1, 1.5),
)  # fmt: skip
def test_values_and_gradients_are_the_papers(
    seed: int, momentum: float, weight: float, scale: float
) -> None:
    """Over several steps that meet the images in changing batches."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (IMAGES,), generator=random)
    made = criterion(labels, target_momentum=momentum, weight=weight)
    targets = {row: [0.0] * CLASSES for row in range(IMAGES)}
    for _ in range(4):
        rows = torch.randperm(IMAGES, generator=random)[:5]
        logits = scale * torch.randn(5, CLASSES, generator=random).double()
        logits.requires_grad_()
        loss = made.loss(logits.float(), labels[rows], rows)
        (gradient,) = torch.autograd.grad(loss, logits)
        told = logits.tolist(), labels[rows].tolist()
        expected, slope = by_hand(*told, targets, rows.tolist(), momentum, weight)
        assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
        torch.testing.assert_close(
            gradient, torch.tensor(slope, dtype=torch.double), rtol=1e-3, atol=1e-4
        )
    averages = torch.tensor([targets[row] for row in range(IMAGES)])
    torch.testing.assert_close(made.averages, averages, rtol=1e-4, atol=1e-5)


def test_without_its_weight_it_is_cross_entropy() -> None:
    labels, rows = torch.tensor([0, 1, 2]), torch.tensor([4, 5, 6])
    logits = torch.randn(3, CLASSES)
    torch.testing.assert_close(
        criterion(weight=0).loss(logits, labels, rows), F.cross_entropy(logits, labels)
    )


def test_a_network_that_is_sure_has_a_finite_loss_and_gradient() -> None:
    """However long it agrees with itself: the clamped agreement stays under 1."""
    made, rows = criterion(), torch.arange(3)
    logits = (1e4 * F.one_hot(rows, CLASSES)).float().requires_grad_()
    for _ in range(50):
        loss = made.loss(logits, (rows + 1) % CLASSES, rows)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()
    probabilities = clamped_softmax(logits)
    assert probabilities.min().item() == pytest.approx(1e-4)
    assert probabilities.max().item() == pytest.approx(1 - 1e-4)
    assert made.averages[rows].sum(1).tolist() == pytest.approx([1, 1, 1])


def test_an_image_that_was_not_seen_keeps_its_average() -> None:
    made = criterion()
    made.loss(torch.randn(2, CLASSES), torch.tensor([0, 1]), torch.tensor([1, 3]))
    assert made.averages.any(dim=1).nonzero().flatten().tolist() == [1, 3]


@pytest.fixture
def staged(tiny_trial: TinyTrial) -> Callable[..., Stage]:
    """The fine-tuning of the tiny trial by this method, with its fields changed."""

    def staged(**fields: Any) -> Stage:
        config = tiny_trial(finetune={"method": "elr", **fields})
        data = config.data.load()
        inputs = Inputs(config.resolve(), data, draw_labels(config, data))
        return finetune_stage(inputs, None, finetune_key(config, data, None, 0))

    return staged


def checkpoints(stage: Stage, start: Any = None) -> list[Checkpoint]:
    """Those after the second epoch and at the end."""
    events = stage.compute(start, lambda step: step == 2)
    return [event for event in events if isinstance(event, Checkpoint)]


@pytest.mark.long
def test_it_goes_on_from_a_checkpoint_bit_for_bit(staged: Callable[..., Stage]) -> None:
    """Its averages lie in the checkpoint: without them the end is another one."""
    stage = staged(epochs=5)
    middle, whole = checkpoints(stage)
    tensors = middle.artifact.tensors
    assert tensors["criterion.averages"].sum(1).allclose(torch.tensor(1 - 0.7**2))
    (continued,) = checkpoints(stage, (2, middle.artifact))
    for name, tensor in whole.artifact.tensors.items():
        assert tensor.equal(continued.artifact.tensors[name]), name
    tensors["criterion.averages"].zero_()
    (forgetful,) = checkpoints(stage, (2, middle.artifact))
    assert not whole.artifact.tensors["logits.last"].equal(
        forgetful.artifact.tensors["logits.last"]
    )


@pytest.mark.parametrize("fields", [{"target_momentum": 0.9}, {"weight": 7}], ids=str)
def test_its_settings_are_in_the_key(staged: Callable[..., Stage], fields: dict[str, Any]) -> None:
    assert staged(**fields).key != staged().key
