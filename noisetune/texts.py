"""Words that tables, messages and commands share."""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DIGITS = 8
STEM_LENGTH = 120
"""Characters of a file's name without what follows: 255 bytes are the most that systems take."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 trial`, `2 trials`; the `plural` where it takes more than an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def factors_text(factors: Mapping[str, Any]) -> str:
    """The factors of a condition in words, which are its name; `all` where there are none."""
    return " ".join(f"{field}={value}" for field, value in factors.items()) or "all"


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV, a line each."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def shortened(name: str, length: int) -> str:
    """A name of at most `length` characters; one that is cut ends in a digest of the whole."""
    return name if len(name) <= length else marked(name, name, length)


def marked(plain: str, name: str, length: int) -> str:
    """`plain`, what a system takes of a `name`, told apart from all others by a digest of it."""
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:DIGITS]
    return f"{plain[: length - DIGITS - 1]}-{digest}"


def file_stem(name: str) -> str:
    """A name for the file of one thing among others that are not known here: as those of
    `file_stems`, but always with a digest."""
    return marked(_plain(name), name, STEM_LENGTH)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9=._-]+", "_", name).strip("._-")


def file_stems(conditions: Sequence[str]) -> dict[str, str]:
    """A name for the files of each condition: it cannot leave its folder, is no other one's, also
    where capitals do not count, and leaves room for an ending within a file system's limit."""
    plain = {name: _plain(name) for name in conditions}
    often = Counter(stem.casefold() for stem in plain.values())
    return {
        name: stem
        if stem == name.replace(" ", "_")
        and len(stem) <= STEM_LENGTH
        and often[stem.casefold()] == 1
        else marked(stem, name, STEM_LENGTH)
        for name, stem in plain.items()
    }
