"""Supervised contrast row by row, and which labels it reads."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.ssl.base import UNREAD
from noisetune.ssl.simclr import nt_xent
from noisetune.ssl.supcon import supervised_contrast
from noisetune.stages.base import Checkpoint, Inputs
from noisetune.stages.labels import NoisyLabels, draw_labels
from noisetune.stages.pretrain import pretrain_key, pretrain_stage

TinyTrial = Callable[..., TrialConfig]
SEEDS = st.integers(0, 2**32 - 1)


def plain(projections: Tensor, labels: Tensor, temperature: float) -> Tensor:
    rows = len(projections)
    losses = []
    for anchor in range(rows):
        others = [other for other in range(rows) if other != anchor]
        scores = {
            other: torch.cosine_similarity(projections[anchor], projections[other], dim=0)
            / temperature
            for other in others
        }
        whole = torch.logsumexp(torch.stack(list(scores.values())), 0)
        positives = [
            other
            for other in others
            if other % (rows // 2) == anchor % (rows // 2)
            or (labels[anchor] == labels[other] and labels[anchor] != UNREAD)
        ]
        losses.append(torch.stack([whole - scores[other] for other in positives]).mean())
    return torch.stack(losses).mean()


@given(batch=st.integers(2, 6), width=st.integers(2, 10), temperature=st.floats(0.1, 2), seed=SEEDS)
def test_value_and_gradient_are_those_of_a_plain_loop(
    batch: int, width: int, temperature: float, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    projections = torch.randn(2 * batch, width, generator=random, dtype=torch.double)
    projections.requires_grad_()
    labels = torch.randint(UNREAD, 3, (batch,), generator=random).repeat(2)
    losses = [made(projections, labels, temperature) for made in (supervised_contrast, plain)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, projections) for loss in losses))


@given(batch=st.integers(2, 20), seed=SEEDS)
def test_without_labels_it_is_simclr(batch: int, seed: int) -> None:
    both = torch.randn(2 * batch, 6, generator=torch.Generator().manual_seed(seed))
    unread = torch.full((2 * batch,), UNREAD)
    torch.testing.assert_close(
        supervised_contrast(both, unread, 0.3), nt_xent(*both.chunk(2), temperature=0.3)
    )


def encoder(trial: TrialConfig, labels: NoisyLabels) -> dict[str, Tensor]:
    data = trial.data.load()
    inputs, key = Inputs(trial.resolve(), data, labels), pretrain_key(trial, data)
    assert key is not None
    stage = pretrain_stage(inputs, inputs.config.pretrain, key, 1)  # type: ignore[arg-type]
    events = list(stage.compute(None, lambda step: False))
    return next(each.artifact.tensors for each in events if isinstance(each, Checkpoint))


def test_it_reads_the_labels_that_are_trained_on_and_no_others(tiny_trial: TinyTrial) -> None:
    trial = tiny_trial(pretrain={"method": "supcon", "epochs": 1})
    labels = draw_labels(trial, trial.data.load())

    def changed(rows: Any) -> dict[str, Tensor]:
        train = labels.train.copy()
        train[rows] = (train[rows] + 1) % 10
        return encoder(trial, NoisyLabels(train, labels.test, labels.fit, labels.validation))

    own, held_out, others = (
        encoder(trial, labels),
        changed(labels.validation),
        changed(labels.fit[:9]),
    )
    assert len(labels.validation)
    assert all(own[name].equal(held_out[name]) for name in own)
    assert any(not own[name].equal(others[name]) for name in own)


@pytest.mark.parametrize(
    "changes", [{"noise": {"model": "symmetric", "rate": 0.7}}, {"replicate": 3}], ids=str
)
def test_its_key_knows_the_labels(tiny_trial: TinyTrial, changes: dict[str, Any]) -> None:
    """With one encoder for all replicates, of which SimCLR's is the same whatever the labels."""
    for method, same in (("simclr", True), ("supcon", False)):
        fields = {"pretrain": {"method": method}, "pretrain_seed": "shared"}
        one, other = tiny_trial(**fields), tiny_trial(**fields | changes)
        keys = [pretrain_key(trial, trial.data.load()) for trial in (one, other)]
        assert (keys[0] == keys[1]) == same


def test_folds_that_it_has_seen_are_refused(tiny_trial: TinyTrial) -> None:
    with pytest.raises(UserError, match=r"detect\.folds: 3: pretrain\.method supcon reads"):
        tiny_trial(pretrain={"method": "supcon"}, detect={"folds": 3})
