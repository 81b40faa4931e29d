"""SimSiam's loss against lightly's, and what has no gradient."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import NegativeCosineSimilarity

from noisetune.models.resnet18 import Config as ResNet18
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import Batch
from noisetune.ssl.simsiam import Config, SimSiam, distance


@given(
    batch=st.integers(1, 40), width=st.integers(2, 40), seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.1, 100),
)  # fmt: skip
def test_value_and_gradient_equal_lightlys(batch: int, width: int, seed: int, scale: float) -> None:
    random = torch.Generator().manual_seed(seed)
    predictions, projections = scale * torch.randn(2, batch, width, generator=random)
    predictions.requires_grad_()
    projections.requires_grad_()
    losses = (
        distance(predictions, projections),
        NegativeCosineSimilarity()(predictions, projections.detach()),
    )
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    gradients = (torch.autograd.grad(loss, predictions) for loss in losses)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def test_the_loss_is_of_both_directions_and_stops_at_the_projections() -> None:
    with seeded_initialisation("simsiam"):
        method = Config(hidden=16, projection=8, bottleneck=4)
        made = SimSiam(ResNet18(width=4).build(1, (8, 8)), method)
    views = torch.rand(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second, predicted, other = outputs = made(Batch(tuple(views)))
    cosine = NegativeCosineSimilarity()
    expected = (cosine(predicted, second.detach()) + cosine(other, first.detach())) / 2
    torch.testing.assert_close(made.loss(outputs), expected)
    (moved,) = torch.autograd.grad(made.loss(outputs), first, allow_unused=True, retain_graph=True)
    torch.testing.assert_close(moved, torch.autograd.grad(expected, first)[0])


def test_the_predictor_is_a_bottleneck() -> None:
    made = SimSiam(ResNet18(width=4).build(1, (8, 8)), Config(projection=8, bottleneck=4))
    shapes = [tuple(weight.shape) for weight in made.predictor.parameters() if weight.ndim == 2]
    assert shapes == [(4, 8), (8, 4)]
