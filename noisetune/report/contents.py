"""What a report is made of: sections with sentences, drawings and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from rich.table import Table

from noisetune.records import TrialRecord


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, with `reads`, a sentence on what to read from it, and the runs behind it.

    `name` is that of its files; `alt` says what is drawn to who cannot see it.
    """

    name: str
    figure: Figure
    reads: str
    alt: str
    runs: Sequence[TrialRecord]


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report. `tables` are by the names of their files, `listings` by their titles."""

    title: str
    sentences: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: dict[str, Table] | None = None
    listings: Sequence[tuple[str, str]] = ()
