"""Words that tables, messages and commands share."""

import re
from collections.abc import Mapping
from typing import Any


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 trial`, `2 trials`; the `plural` where it takes more than an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def factors_text(factors: Mapping[str, Any]) -> str:
    """The factors of a condition in words, which are its name; `all` where there are none."""
    return " ".join(f"{field}={value}" for field, value in factors.items()) or "all"


def file_stem(condition: str, index: int) -> str:
    """A name for the files of a condition, which cannot leave its folder, and no other one's."""
    plain = re.sub(r"[^A-Za-z0-9=._-]+", "_", condition).strip("._-")
    # Two values that differ in other signs alone would meet in one file.
    return plain if plain == condition.replace(" ", "_") else f"{plain}-{index}"
