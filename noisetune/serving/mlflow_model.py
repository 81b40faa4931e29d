"""A winner as MLflow serves it: a model from code, of which this file is all the code."""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from noisetune.inference import load_network


class Winner(PythonModel):
    """uint8 images (N, H, W, C), or what features a head was trained on -> probabilities
    (N, classes)."""

    def load_context(self, context: PythonModelContext) -> None:
        self.network = load_network(Path(context.artifacts["network"]))

    # Without types: MLflow reads them, and knows none of arrays.
    def predict(self, context, model_input, params: dict[str, Any] | None = None):  # type: ignore[no-untyped-def]
        return self.network.probabilities(np.asarray(model_input))


set_model(Winner())
