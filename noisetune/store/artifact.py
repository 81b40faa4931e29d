"""What a stage leaves behind, as bytes, and the manifest that vouches for them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .backend import Backend
from .keys import encode

if TYPE_CHECKING:
    from torch import Tensor

TENSORS = "tensors.safetensors"
RECORD = "record.json"
SEAL = "seal"


class DamagedError(ValueError):
    """An entry is not what was published; the message says in what."""


@dataclass(frozen=True)
class Artifact:
    """A stage's result at one step: tensors by name, and a record of JSON values.

    Tensors come back on the CPU and contiguous, whatever device and layout they had.
    """

    tensors: "dict[str, Tensor]" = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


def pack(artifact: Artifact) -> dict[str, bytes]:
    """File name -> content. ValueError: the record holds NaN or infinity (say null instead)."""
    # Importing torch takes seconds, and whoever lists entries or holds a lease needs none of it.
    import safetensors.torch
    import torch

    # cloned, because safetensors refuses tensors that share memory (tied weights, views)
    apart = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in artifact.tensors.items()
    }
    return {TENSORS: safetensors.torch.save(apart), RECORD: encode(artifact.record)}


def unpack(files: Mapping[str, bytes]) -> Artifact:
    """The inverse of `pack`, tensors in the order of their names; nothing is unpickled."""
    import safetensors.torch

    tensors = safetensors.torch.load(files[TENSORS])
    return Artifact(dict(sorted(tensors.items())), json.loads(files[RECORD]))


def map_files(folder: Path) -> Artifact:
    """What `pack` made of an artifact, in files of a folder, which the tensors lie over: they are
    read as they are used, and nothing that is written to them reaches the files."""
    import safetensors.torch

    tensors = safetensors.torch.load_file(folder / TENSORS)
    record = json.loads((folder / RECORD).read_bytes())
    return Artifact(dict(sorted(tensors.items())), record)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_manifest(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """Facts (JSON), size and SHA-256 of each file, sealed with a SHA-256 of the manifest itself."""
    sums = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in files.items()}
    body = {**facts, "format": 1, "files": sums}
    return encode({**body, SEAL: _sha256(encode(body))})


def read_manifest(data: bytes) -> dict[str, Any]:
    """The manifest without its seal; DamagedError when the two do not agree."""
    try:
        body = json.loads(data)
        intact = body.pop(SEAL) == _sha256(encode(body))
    except (ValueError, TypeError, KeyError, AttributeError):
        intact = False
    if not intact:
        raise DamagedError("the manifest does not agree with its own seal")
    return body


def checked_files(
    backend: Backend, entry: str, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Each file of an entry, read once; DamagedError when it is missing, too short or altered."""
    for name, expected in manifest["files"].items():
        try:
            data = backend.read(f"{entry}/{name}")
        except FileNotFoundError:
            raise DamagedError(f"{name} is missing") from None
        if len(data) != expected["bytes"]:
            raise DamagedError(f"{name} has {len(data)} bytes, published were {expected['bytes']}")
        if _sha256(data) != expected["sha256"]:
            raise DamagedError(f"{name} has another SHA-256 than when it was published")
        yield name, data
