"""Weights that exist already: read from a file, checked against a backbone, told by content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from noisetune.errors import UserError, existing_file
from noisetune.memory import require_memory, unpacked_bytes

COUNTER = "num_batches_tracked"
SHOWN = 3


def read_weights(path: Path, field: str) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    A `.safetensors` file, or what torch.save wrote of a state dict, also of one under the key
    `state_dict`; of the latter torch reads plain tensors alone. UserError, naming `field`.
    """
    existing_file(path, field)
    try:
        require_memory(unpacked_bytes(path), f"{field}: {path}: its tensors")
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    # Whatever the two readers raise for bytes that they did not write.
    except Exception as error:
        raise _unreadable(path, field, type(error).__name__) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(each, Tensor) for each in state.values()):
        raise _unreadable(path, field, "it holds something else")
    return state


def fit_weights(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """`given` as a whole set of weights: the names, shapes and types of `wanted`, in its order.

    Other floating-point types are converted; the batch counters that old files lack are 0.
    UserError, naming `source` and the first few, for what is missing, unexpected or misshapen.
    """
    counters = {name: torch.zeros((), dtype=torch.int64) for name in wanted if COUNTER in name}
    whole = counters | dict(given)
    problems = [
        _first("has no", [name for name in wanted if name not in whole]),
        _first("has the unexpected", [name for name in whole if name not in wanted]),
        _first("has the misshapen", _misshapen(whole, wanted)),
    ]
    if any(problems):
        raise UserError(
            f"{source}: {'; '.join(filter(None, problems))}; the tensors must be those of the "
            "backbone that `model` names: give another file, pretrain.prefix or model"
        )
    return {name: whole[name].to(tensor.dtype) for name, tensor in wanted.items()}


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes, whatever file or order they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), tensor.shape]).encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _misshapen(whole: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} ({_kind(whole[name])} instead of {_kind(tensor)})"
        for name, tensor in wanted.items()
        if name in whole and _form(whole[name]) != _form(tensor)
    ]


def _form(tensor: Tensor) -> tuple[torch.Size, bool]:
    return tensor.shape, tensor.is_floating_point()


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _first(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what} {', '.join(names[:SHOWN])}{more}" if names else ""


def _unreadable(path: Path, field: str, why: str) -> UserError:
    return UserError(
        f"{field}: {path} is no readable file of named tensors ({why}); write it with "
        "torch.save(network.state_dict(), ...) or safetensors.torch.save_file"
    )
