import math

import torch
import torch.nn.functional as F
from by_hand import assert_is_the_papers, batches, pull, sure_and_wrong
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.finetuning.sce import Config

weights = st.floats(0, 10)


@given(batches(), weights, weights, st.floats(-10, -0.1))
def test_values_and_gradients_are_the_papers(
    batch: tuple[Tensor, Tensor], alpha: float, beta: float, log_zero: float
) -> None:
    def equation(p: list[float], label: int) -> float:
        log_q = [0.0 if k == label else log_zero for k in range(len(p))]
        reverse = -sum(own * log for own, log in zip(p, log_q, strict=True))
        return -alpha * math.log(p[label]) + beta * reverse

    method = Config(ce_weight=alpha, rce_weight=beta, log_zero=log_zero)
    assert_is_the_papers(method.loss, equation, *batch)


@given(batches())
def test_without_its_reverse_it_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    method = Config(ce_weight=1, rce_weight=0)
    torch.testing.assert_close(method.loss(*batch), F.cross_entropy(*batch))


def test_a_label_that_contradicts_a_sure_network_pulls_less() -> None:
    batch = sure_and_wrong()
    assert pull(Config().loss, *batch) < pull(F.cross_entropy, *batch) / 2
