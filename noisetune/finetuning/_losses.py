"""Parts of losses that several methods share. Each takes logits (B, classes) and labels (B,)."""

import torch.nn.functional as F
from torch import Tensor


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """log p(label) of each image (B,)."""
    return -F.cross_entropy(logits, labels, reduction="none")


def reverse_cross_entropy(logits: Tensor, labels: Tensor, log_zero: float) -> Tensor:
    """The mean of -sum_k p_k log q_k, with q the label's one-hot vector (Wang et al. 2019, eq. 5).

    `log_zero`, below 0, stands for log 0: it is -log_zero * (1 - p(label)).
    """
    return log_zero * log_likelihood(logits, labels).expm1().mean()
