"""Rich tables as those of a page, with their notes."""

from html import escape

from rich.table import Table
from rich.text import Text

from noisetune.analysis.rendering import (
    cells_of,
    is_bold,
    notes_of,
    right_aligned,
    title_of,
)


def as_html(table: Table) -> str:
    """A table with its title as caption and its notes below, in a box that scrolls by itself."""
    right = right_aligned(table)
    head = "".join(
        f'<th scope="col"{_place(each)}>{_heading(str(column.header))}</th>'
        for column, each in zip(table.columns, right, strict=True)
    )
    body = "\n".join(_row(row, right) for row in cells_of(table))
    notes = "".join(f"<p>{escape(note)}</p>" for note in notes_of(table))
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(title_of(table))}">\n'
        f"<table>\n<caption><span>{escape(title_of(table))}</span></caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
        + (f'<div class="notes">{notes}</div>\n' if notes else "")
    )


def _row(row: list[Text], right: list[bool]) -> str:
    first, *rest = (f"{_place(each)}>{_cell(cell)}" for cell, each in zip(row, right, strict=True))
    cells = "".join(f"<td{cell}</td>" for cell in rest)
    return f'<tr><th scope="row"{first}</th>{cells}</tr>'


def _heading(text: str) -> str:
    return "<br>".join(map(escape, text.splitlines()))


def _place(right: bool) -> str:
    return ' class="number"' if right else ""


def _cell(cell: Text) -> str:
    """Its lines; the first is strong where the cell is marked, the others are small."""
    lines = [escape(line) for line in cell.plain.splitlines()]
    if is_bold(cell) and lines:
        lines[0] = f"<strong>{lines[0]}</strong>"
    return "<br>".join([*lines[:1], *(f"<small>{line}</small>" for line in lines[1:])])
