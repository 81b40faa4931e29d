"""How much of what a network predicts of its training images changes from epoch to epoch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from noisetune.finetuning.base import Batch, Forward

SEEN = "seen_predictions"
UNSEEN = -1


class SeenPredictions:
    """The class that is predicted of each of n images as it is trained on, as Label Wave's authors
    count it: in training mode, augmented, by the weights of that moment. It costs no pass.

    `now` (n,), int16, is of this epoch, `before` of the last one; None where that is not known.
    """

    def __init__(self, images: int, device: torch.device) -> None:
        self.now = torch.full((images,), UNSEEN, dtype=torch.int16, device=device)
        self.before: Tensor | None = None

    @property
    def complete(self) -> bool:
        """Whether each image was seen as it is: a method that mixes images shows none."""
        return bool((self.now != UNSEEN).all())

    def watching(self, forward: Forward, batch: Batch) -> Forward:
        """`forward`, which remembers what it predicts of the batch's own images."""

        def watched(images: Tensor) -> Tensor:
            logits = forward(images)
            if images is batch.images:
                self.now[batch.rows] = logits.detach().argmax(1).short()
            return logits

        return watched

    def changed(self, plain: Tensor | None = None) -> float | None:
        """The share of images that are predicted otherwise than an epoch before, 0..1, as the epoch
        ends; None for the first. `plain` predictions (n,) stand in for those that were seen."""
        now, before = self.now if plain is None else plain.short(), self.before
        self.before, self.now = now, torch.full_like(now, UNSEEN)
        return None if before is None else float((now != before).double().mean())

    def state(self) -> dict[str, Tensor]:
        """What a run needs to go on, after an epoch."""
        return {} if self.before is None else {SEEN: self.before.cpu()}

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Go on from what was kept; a checkpoint of an earlier version has nothing of it."""
        self.before = kept[SEEN].to(self.now.device) if SEEN in kept else None
