"""Which training images are kept, where they are not all."""

from typing import Literal

import numpy as np

from noisetune.seeds import derive_seed

Subset = Literal["first", "random", "stratified"]


def drawn_order(labels: np.ndarray, seed: int, stratified: bool) -> np.ndarray:
    """All rows (N,) in an order that `seed` draws: so many of them are the first so many of it.

    `stratified`: in each beginning of it every one of `labels` (N,) has its share, but for one
    image at most.
    """
    order = np.random.default_rng(derive_seed("subset", seed)).permutation(len(labels))
    return order[np.argsort(_shares(labels[order]), kind="stable")] if stratified else order


def _shares(labels: np.ndarray) -> np.ndarray:
    """How much of its class has come when an image comes (N,), above 0 and under 1."""
    shares = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        shares[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return shares
