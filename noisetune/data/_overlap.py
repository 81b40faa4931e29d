"""Images that lie in the training and in the test part: accuracy on them is memory."""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from noisetune.data._listing import refuse
from noisetune.data._pixels import contents_of
from noisetune.data.base import DataConfig
from noisetune.errors import UserError

log = logging.getLogger(__name__)

Where = Callable[[str, int], str]
ADVICE = (
    "of {count} test images are training images too: take them out of one part, or set "
    "data.overlap: drop_from_train (training goes without them) or allow (test figures are then in "
    "part of images that were learnt)"
)


class OwnImages(DataConfig):
    """A data set of the user's own, whose parts may have images in common."""

    overlap: Literal["refuse", "drop_from_train", "allow"] = "refuse"
    """What becomes of images whose content is in both parts: the data set is refused
    (`refuse`), training goes without them (`drop_from_train`), or they stay (`allow`)."""

    def rows_kept(
        self,
        train: Sequence[Hashable],
        test: Sequence[Hashable],
        labels: np.ndarray,
        where: Where,
    ) -> np.ndarray | None:
        """The rows of the training part that stay, ascending; None where all do.

        `train` and `test` are contents of images, `labels` those of training; `where(part, row)`
        says where an image is. UserError where the overlap is refused, or a class would lose its
        last training image.
        """
        shared = shared_rows(train, test)
        if not shared:
            return None
        if self.overlap == "refuse":
            refuse_shared(train, test, where)
        log.warning(
            "data.overlap: %s: %d of %d test images are training images too",
            self.overlap, len(shared), len(test),
        )  # fmt: skip
        return None if self.overlap == "allow" else _rows_left(train, test, labels)


def shared_rows(train: Sequence[Hashable], test: Sequence[Hashable]) -> list[int]:
    """The rows of the test part whose content is in the training part."""
    known = set(train)
    return [row for row, content in enumerate(test) if content in known]


def refuse_shared(train: Sequence[Hashable], test: Sequence[Hashable], where: Where) -> None:
    """UserError, counting and naming them, where test images are training images too."""
    shared = shared_rows(train, test)
    wanted = {test[row] for row in shared}
    first = {train[row]: row for row in reversed(range(len(train))) if train[row] in wanted}
    refuse(
        [
            f"{where('test', row)} is a training image too ({where('train', first[test[row]])})"
            for row in shared
        ],
        f"data: {len(shared)} " + ADVICE.format(count=len(test)),
    )


def _rows_left(
    train: Sequence[Hashable], test: Sequence[Hashable], labels: np.ndarray
) -> np.ndarray:
    unwanted = set(test)
    kept = np.array([row for row, each in enumerate(train) if each not in unwanted], np.int64)
    lost = np.setdiff1d(labels, labels[kept])
    if len(lost):
        raise UserError(
            f"data.overlap: drop_from_train leaves {len(lost)} classes without a training image "
            f"(the first is number {lost[0]}); take images out of the test part instead"
        )
    return kept


def say_shared(name: str, train: Tensor, test: Tensor) -> None:
    """Count what the parts of a published data set share: it stays as it is."""
    shared = shared_rows(contents_of(train), contents_of(test))
    if shared:
        log.warning(
            "%s: %d of %d test images are training images too; the set is left as published",
            name, len(shared), len(test),
        )  # fmt: skip
