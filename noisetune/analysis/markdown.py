"""Tables as GitHub markdown, for papers and pages."""

import re
from collections.abc import Iterable

from rich.table import Table


def as_markdown(table: Table) -> str:
    """The table with its title above and each note of its caption below; columns aligned as in it.

    A line end inside a cell becomes `<br>`; in a heading, where it only saves width, it goes.
    """
    headings = [_heading(str(column.header)) for column in table.columns]
    rules = ["---:" if column.justify == "right" else "---" for column in table.columns]
    rows = zip(*(map(_plain, map(str, column.cells)) for column in table.columns), strict=True)
    lines = [_row(each) for each in (headings, rules, *rows)]
    notes = [_plain(note) for note in str(table.caption or "").splitlines() if note]
    return "\n\n".join([f"**{_plain(str(table.title))}**", "\n".join(lines), *notes]) + "\n"


def _heading(text: str) -> str:
    return _plain(text.replace("/\n", "/").replace("\n", " "))


def _plain(text: str) -> str:
    """One line, runs of spaces closed up, and no sign of markdown's own."""
    escaped = re.sub(r"([\\|*_~<>])", r"\\\1", re.sub(r" +", " ", text.strip()))
    return escaped.replace("\n", "<br>")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
