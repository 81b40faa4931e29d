"""Noise of any transition matrix that the user gives."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import field_validator, model_validator

from noisetune.arrays import npy_size, read_npy
from noisetune.errors import UserError
from noisetune.memory import require_memory
from noisetune.noise.base import ClassNoise, CleanPart, Matrix
from noisetune.yaml_files import read_yaml

TOLERANCE = 1e-6
NUMBER_BYTES = 8
"""Of a number in memory, which takes one at least in a text."""
Rows = tuple[tuple[float, ...], ...]


class Config(ClassNoise):
    """Entry [i][j] of the matrix is the chance that clean class i is labelled j.

    Give `matrix` or `path`. Every row sums to 1 within 1e-6.
    """

    model: Literal["transition"] = "transition"
    matrix: Rows | None = None
    """The rows: `[[0.9, 0.1], [0.2, 0.8]]`."""
    path: Path | None = None
    """A .npy file, a .csv of numbers, or a .yaml list of rows."""

    @field_validator("matrix")
    @classmethod
    def _stochastic(cls, matrix: Rows | None) -> Rows | None:
        if matrix is not None:
            check_stochastic(matrix)
        return matrix

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.matrix is None) == (self.path is None):
            raise ValueError("give either matrix or path")
        return self

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        matrix = self._given()
        if len(matrix) != clean.classes:
            raise UserError(
                f"noise.{self._source}: a matrix of {len(matrix)} rows, but the data set has "
                f"{clean.classes} classes; give a row and a column for each class"
            )
        return matrix / matrix.sum(axis=1, keepdims=True)

    def identity(self) -> Mapping[str, Any]:
        """A matrix in a file is the same noise as when it is written out."""
        digest = hashlib.sha256(self._given().tobytes()).hexdigest()[:32]
        return {"model": self.model, "draw": self.draw, "matrix": digest}

    @property
    def _source(self) -> str:
        return "matrix" if self.path is None else f"path: {self.path}"

    def _given(self) -> Matrix:
        if self.path is None:
            return np.array(self.matrix, dtype=np.float64)
        try:
            rows = read_matrix(self.path)
            check_stochastic(rows)
            return np.array(rows, dtype=np.float64)
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise UserError(f"noise.path: {self.path}: {error}") from None


def read_matrix(path: Path) -> Any:
    """The rows in a .npy, .csv or .yaml file, unchecked; nothing in it is unpickled."""
    what = f"noise.path: {path}: its matrix"
    match path.suffix:
        case ".npy":
            require_memory(npy_size(path), what)
            return read_npy(path)
        case ".csv":
            require_memory(NUMBER_BYTES * path.stat().st_size, what)
            return _read_csv(path)
        case ".yaml" | ".yml":
            return read_yaml(path)
    raise ValueError("is of no kind that holds a matrix; give a .npy, .csv or .yaml file")


def _read_csv(path: Path) -> Matrix:
    try:
        # A spreadsheet puts a byte order mark first.
        return np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        # Not the text itself: it may be anybody's file that was named.
        where = re.search(r"row \d+, column \d+", str(error))
        shown = f" ({where[0]})" if where else ""
        raise ValueError(f"is no table of numbers{shown}; write them apart by commas") from None


def check_stochastic(rows: Any) -> None:
    """ValueError, naming the row, for what is no square matrix of chances that sum to 1."""
    is_array = isinstance(rows, np.ndarray) and rows.ndim > 0
    count = len(rows) if is_array or isinstance(rows, (list, tuple)) else 0
    if count < 2:
        raise ValueError(f"has {count} rows; a matrix needs one for each of two or more classes")
    for index, row in enumerate(rows):
        values = np.asarray(row)
        if values.shape != (count,) or values.dtype.kind not in "iuf":
            raise ValueError(f"row {index} is not {count} numbers, one for each class")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"row {index} holds a number that is no chance in 0..1")
        if abs(values.sum() - 1) > TOLERANCE:
            raise ValueError(f"row {index} sums to {values.sum():.6g}; every row must sum to 1")
