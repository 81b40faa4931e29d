"""Names of runs that tell trials apart where MLflow's page cuts them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from noisetune.records import Kind

WIDTH = 15
"""So many characters of a run's name are seen in MLflow's table of runs."""

LETTERS: dict[Kind, str] = {"search": "t", "replicate": "R"}

Cells = Sequence[tuple[str, Mapping[str, Any]]]


class Words(NamedTuple):
    """A condition in a few characters, `before` and `after` the number of a trial."""

    before: str
    after: str = ""

    def run_name(self, kind: Kind, number: int, search: int = 0) -> str:
        """The name that a trial is shown by, with its mark."""
        return " ".join(filter(None, [self.before, trial_mark(kind, number, search), self.after]))


def trial_mark(kind: Kind, number: int, search: int = 0) -> str:
    """t5 for a trial, R5 for a replicate, S3t5 for a trial of the `search` that is replicate 3."""
    place = f"S{search}" if kind == "search" and search else ""
    return f"{place}{LETTERS[kind]}{number}"


def condition_words(cells: Cells, longest: str) -> dict[str, Words]:
    """The words for each condition (name, factors) of a sweep, no two of them alike.

    Each factor that varies has its value: a number behind the beginning of the factor's name, a
    word cut as far as is needed. With the `longest` mark of a trial a run's name then fits WIDTH.
    Where no cut does that, the condition's place (from 0) stands first, and its words last.
    """
    room = WIDTH - len(f" {longest}")
    fields = dict.fromkeys(field for _, factors in cells for field in factors)
    varying = [field for field in fields if len({str(each.get(field)) for _, each in cells}) > 1]
    for length in range(room, 0, -1):
        words = _words(cells, varying, length)
        told_apart = len(set(words.values())) == len(cells)
        if told_apart and max(map(len, words.values()), default=0) <= room:
            return {name: Words(text) for name, text in words.items()}
    whole = _words(cells, varying, room)
    return {name: Words(f"c{place}", text) for place, (name, text) in enumerate(whole.items())}


def _words(cells: Cells, fields: Sequence[str], length: int) -> dict[str, str]:
    marks = _marks(fields)
    return {
        name: " ".join(_word(marks[field], factors.get(field), length) for field in fields)
        for name, factors in cells
    }


def _word(mark: str, value: Any, length: int) -> str:
    if isinstance(value, bool):
        return f"{'+' if value else '-'}{mark}"
    if isinstance(value, (int, float)):
        return f"{mark}{value:g}"
    return str(value).rpartition("/")[2][:length].rstrip("_-. ")


def _marks(fields: Sequence[str]) -> dict[str, str]:
    """The shortest beginning of the last part of each field's path that begins no other one."""
    last = {field: field.rpartition(".")[2] for field in fields}
    marks = {}
    for field, part in last.items():
        others = [other for name, other in last.items() if name != field]
        beginnings = (part[:length] for length in range(1, len(part)))
        free = (each for each in beginnings if not any(o.startswith(each) for o in others))
        marks[field] = next(free, part)
    return marks
