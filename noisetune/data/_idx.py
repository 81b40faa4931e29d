"""The idx files of MNIST and its kin: a few whole numbers that say the shape, then bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from noisetune.errors import UserError
from noisetune.memory import require_memory

BYTES = b"\0\0\x08"
"""How a file of unsigned bytes begins; the number of its axes follows."""
MOST_AXES = 4


def read_idx(path: Path, rows: int | None = None) -> np.ndarray:
    """The uint8 array in an idx file, or its first `rows`; what ends in `.gz` is unpacked.

    UserError, naming the file, for another one.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            begin = file.read(len(BYTES) + 1)
            if begin[:-1] != BYTES or not 0 < begin[-1] <= MOST_AXES:
                raise ValueError("it does not begin as a file of bytes does")
            shape = struct.unpack(f">{begin[-1]}I", file.read(4 * begin[-1]))
            kept = (shape[0] if rows is None else min(rows, shape[0]), *shape[1:])
            size = math.prod(kept)
            require_memory(size, f"data.root: {path}")
            content = file.read(size)
            if len(content) < size or (kept == shape and file.read(1)):
                raise ValueError(f"its header says {shape}, and its content is another size")
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise UserError(
            f"data.root: {path}: is no readable idx file ({error}); fetch it again"
        ) from None
    return np.frombuffer(content, np.uint8).reshape(kept).copy()  # one that may be written to
