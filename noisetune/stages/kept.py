"""What a process keeps from one trial to the next: it is read once, and no result depends on it."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from noisetune.data.base import ImageData
from noisetune.ssl.base import Features
from noisetune.store import Artifact, StageKey

Value = TypeVar("Value")


class Last(Generic[Value]):
    """The value of the key that was asked for last; another one makes room first."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._value: Value | None = None

    def get(self, key: Hashable) -> Value | None:
        """The value under a key, and None where the last one was another's."""
        if key != self._key:
            self._key = self._value = None
        return self._value

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep a value, and give it back."""
        self._key, self._value = key, value
        return value


@dataclass(frozen=True)
class Kept:
    """The last data set by its configuration, the last given features by theirs and that of their
    data, and the last computed ones by the digest of their stage."""

    data: Last[ImageData] = field(default_factory=Last)
    given: Last[tuple[StageKey, Features]] = field(default_factory=Last)
    computed: Last[Artifact] = field(default_factory=Last)
