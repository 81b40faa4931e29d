"""What comes in batches, in one piece."""

from torch import Tensor


class Rows:
    """Rows that come in batches, written into one tensor (`count`, ...).

    It is made with the first of them. Kept one by one until all are there, they would lie between
    the large tensors that a batch needs for a while, and leave holes where the next batch's do not
    fit: of 50,000 images gigabytes of them.
    """

    def __init__(self, count: int) -> None:
        self._count, self.filled = count, 0
        self._whole: Tensor | None = None

    def add(self, batch: Tensor) -> None:
        """Write rows (B, ...) after the others; all batches are alike in type and device."""
        if self._whole is None:
            self._whole = batch.new_empty((self._count, *batch.shape[1:]))
        self._whole[self.filled : self.filled + len(batch)] = batch
        self.filled += len(batch)

    def whole(self) -> Tensor:
        """All rows; ValueError where some are missing."""
        if self._whole is None or self.filled < self._count:
            raise ValueError(f"{self.filled} of {self._count} rows came")
        return self._whole
