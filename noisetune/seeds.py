"""Seeds by name: every stage derives its own from what it is, never from what ran before it."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def derive_seed(*parts: Any) -> int:
    """A 63-bit seed from JSON-able parts; equal parts give equal seeds on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: Any) -> torch.Generator:
    """A CPU generator seeded by name."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@contextmanager
def seeded_initialisation(*parts: Any) -> Iterator[None]:
    """Weights built inside are drawn from this seed; the global generator stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*parts))
        yield
