"""An .npz archive of both parts of a data set: `x_train`, `y_train`, `x_test`, `y_test`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from noisetune.arrays import UNREADABLE, Archive
from noisetune.errors import UserError, existing_file
from noisetune.memory import require_memory

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
COPIES = 2
"""An array of images is held as it lies in the file, and with its channels first."""


def read_parts(
    path: Path, field: str, rows: Mapping[str, int | None], names: Sequence[str] = ARRAYS
) -> dict[str, np.ndarray]:
    """The arrays by name, of each the first so many `rows` where they say how many.

    UserError, naming the file and the `field` that names it, where they cannot be read.
    """
    existing_file(path, field)
    try:
        with Archive(path) as archive:
            missing = [name for name in ARRAYS if name not in archive.names]
            if missing:
                raise UserError(
                    f"{path}: has no {', '.join(missing)}; it must hold {', '.join(ARRAYS)}"
                )
            sizes = [archive.size(name, rows.get(name)) for name in names]
            require_memory(
                COPIES * sum(sizes),
                f"{path}: its images and labels (data.train_samples and data.test_samples say "
                "how many)",
            )
            return {name: np.atleast_1d(archive.read(name, rows.get(name))) for name in names}
    except UNREADABLE as error:
        raise UserError(
            f"{path}: is no readable .npz archive of plain arrays ({error}); "
            "write it with numpy.savez"
        ) from error
