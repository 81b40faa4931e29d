"""A network as a folder that MLflow loads: a model from code, nothing of it pickled."""

import os
import shutil
import warnings
from pathlib import Path

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow.pyfunc
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec


def write_model(
    folder: Path,
    code: Path,
    network: Path,
    shape: tuple[int, ...],
    classes: int,
    requirements: list[str],
) -> None:
    """Make a model's folder, whole before it has its name.

    `code` is the file that serves it, `network` the file of its weights, `shape` (C, H, W) that of
    its images, or (D,) that of the features of a head, and `requirements` what pip installs where
    it is served.
    """
    kind = np.uint8 if len(shape) > 1 else np.float32
    inputs = TensorSpec(np.dtype(kind), (-1, *shape[1:], shape[0]))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, classes))
    aside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    with warnings.catch_warnings():
        # It misses an example of the inputs.
        warnings.simplefilter("ignore", UserWarning)
        mlflow.pyfunc.save_model(
            aside,
            python_model=str(code),
            artifacts={"network": str(network)},
            signature=ModelSignature(Schema([inputs]), Schema([probabilities])),
            pip_requirements=requirements,
        )
    aside.rename(folder)
