"""What a stage reads, as one name: equal inputs give equal digests, on any host, in any order."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

STAGE_NAME = re.compile(r"[a-z][a-z0-9_]*")
DIGEST_CHARS = 32


def encode(value: Any) -> bytes:
    """One JSON text per value: keys sorted, no white space. NaN and infinity are a ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def canonical(value: Any, where: str = "inputs") -> Any:
    """A copy of a JSON value in which equal numbers are written alike.

    YAML's `1` and `1.0` are one setting, so a whole float becomes an int; `true` is not 1.
    TypeError or ValueError names the place of what JSON cannot say (a Path, an array, NaN).
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{where} = {value}: a stage key holds finite numbers only")
            return int(value) if value.is_integer() else float(value)
        case list() | tuple():
            return [canonical(item, f"{where}[{i}]") for i, item in enumerate(value)]
        case Mapping():
            return {
                _text(name, where): canonical(item, f"{where}.{name}")
                for name, item in value.items()
            }
    raise TypeError(f"{where} is a {type(value).__name__}: a stage key holds JSON values only")


def _text(name: Any, where: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{where} has the name {name!r}: names in a stage key are strings")
    return name


@dataclass(frozen=True, eq=False)
class StageKey:
    """A stage's name, the version of its meaning and everything it reads (JSON values).

    Two keys are equal exactly when their digests are.
    """

    stage: str
    version: int
    inputs: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not STAGE_NAME.fullmatch(self.stage):
            raise ValueError(f"stage name {self.stage!r} does not match {STAGE_NAME.pattern}")
        object.__setattr__(self, "inputs", canonical(self.inputs))

    @cached_property
    def digest(self) -> str:
        """The first 32 hexadecimal digits of the SHA-256 of stage, version and inputs."""
        content = {"stage": self.stage, "version": self.version, "inputs": self.inputs}
        return hashlib.sha256(encode(content)).hexdigest()[:DIGEST_CHARS]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StageKey) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return f"{self.stage}/{self.digest[:12]}"
