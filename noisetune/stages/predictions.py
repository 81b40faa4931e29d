"""What is kept of a trial's test images: predictions at each choice of epoch, and what detectors
make of the given labels."""

from collections.abc import Mapping

import torch
from torch import Tensor

from noisetune.predictions import PREDICTED, PROBABILITY, Predictions
from noisetune.stages.base import Inputs
from noisetune.store import Artifact


def predicted(logits: Tensor, choice: str) -> dict[str, Tensor]:
    """What fine-tuning keeps of logits (N, C) at a choice of epoch: class and its probability."""
    probability, label = torch.softmax(logits, dim=1).max(1)
    return {
        f"{PREDICTED}.{choice}": label.short().cpu(),
        f"{PROBABILITY}.{choice}": probability.half().cpu(),
    }


def margins(logits: Tensor) -> Tensor:
    """Of logits (N, C) how far each class is above the highest of the others (N, C), on the CPU."""
    highest, place = logits.max(1, keepdim=True)
    second = logits.scatter(1, place, -torch.inf).amax(1, keepdim=True)
    others = highest.expand_as(logits).scatter(1, place, second)
    return (logits - others).cpu()


def is_prediction(name: str) -> bool:
    """Whether a tensor of fine-tuning's artifact is one of them."""
    return name.split(".")[0] in (PREDICTED, PROBABILITY)


def predictions_of(
    inputs: Inputs, network: Artifact, suspicions: Mapping[str, Tensor]
) -> Predictions:
    """Of a whole trial, out of what its fine-tuning and its detectors (by label) left."""
    data, part = inputs.data, inputs.labels.detected
    of_test = part.part == "test"

    def kept(kind: str) -> dict[str, Tensor]:
        return {
            name.partition(".")[2]: tensor
            for name, tensor in network.tensors.items()
            if name.split(".")[0] == kind
        }

    return Predictions(
        predicted={choice: tensor.numpy() for choice, tensor in kept(PREDICTED).items()},
        probability={choice: tensor.numpy() for choice, tensor in kept(PROBABILITY).items()},
        true=data.y_test.numpy(),
        given=part.noisy,
        scores={label: tensor.numpy() for label, tensor in suspicions.items()},
        rows=None if of_test else part.rows,
        rows_true=None if of_test else part.truth(data),
    )
