import math

import torch
import torch.nn.functional as F
from by_hand import assert_is_the_papers, batches, pull, sure_and_wrong
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.finetuning.nce_rce import Config, normalised_cross_entropy

weights = st.floats(0, 10)


@given(batches(), weights, weights, st.floats(-10, -0.1))
def test_values_and_gradients_are_the_papers(
    batch: tuple[Tensor, Tensor], alpha: float, beta: float, log_zero: float
) -> None:
    def equation(p: list[float], label: int) -> float:
        active = -math.log(p[label]) / sum(-math.log(own) for own in p)
        passive = -sum(own * log_zero for k, own in enumerate(p) if k != label)
        return alpha * active + beta * passive

    method = Config(active_weight=alpha, passive_weight=beta, log_zero=log_zero)
    assert_is_the_papers(method.loss, equation, *batch)


@given(batches())
def test_the_losses_of_all_labels_have_one_sum(batch: tuple[Tensor, Tensor]) -> None:
    """What makes both parts robust to symmetric noise (Ma et al. 2020, lemma 1)."""
    logits, classes = batch[0][:1], batch[0].shape[1]
    every = [torch.tensor([label]) for label in range(classes)]
    active = sum(normalised_cross_entropy(logits, label) for label in every)
    passive = sum(Config(active_weight=0).loss(logits, label) for label in every)
    assert math.isclose(active, 1)
    assert math.isclose(passive, 4 * (classes - 1))


def test_a_label_that_contradicts_a_sure_network_pulls_less() -> None:
    batch = sure_and_wrong()
    assert pull(Config().loss, *batch) < pull(F.cross_entropy, *batch) / 2
