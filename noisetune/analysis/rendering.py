"""Tables for elsewhere: GitHub markdown for pages, LaTeX for papers, CSV for programs."""

import re
from collections.abc import Callable, Iterable

from rich.table import Column, Table
from rich.text import Text

from noisetune.texts import csv_text

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "†": r"$\dagger$", "×": r"$\times$",
}  # fmt: skip
"""What stands for a sign that LaTeX takes as its own, or that its fonts lack."""

ROOM = (
    ("table", r"\footnotesize", 60), ("table", r"\scriptsize", 68),
    ("table*", r"\footnotesize", 126), ("table*", r"\scriptsize", 144), ("table*", r"\tiny", 200),
)  # fmt: skip
"""Letters that a conference's page of two columns has room for: across a column, across both."""


def as_markdown(table: Table) -> str:
    """The table with its title above and each note of its caption below; columns aligned as in it.

    A line end inside a cell becomes `<br>`; in a heading, where it only saves width, it goes.
    """
    rules = ["---:" if right else "---" for right in right_aligned(table)]
    headings = [_markdown(text) for text in headings_of(table)]
    rows = [[_markdown_cell(cell) for cell in row] for row in cells_of(table)]
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, rules, *rows)]
    notes = [_markdown(note) for note in notes_of(table)]
    return "\n\n".join([f"**{_markdown(title_of(table))}**", "\n".join(lines), *notes]) + "\n"


def as_latex(table: Table) -> str:
    """The table as a `table` of LaTeX's, its title the caption; it needs the package booktabs.

    It is made for a page of two columns: one that is too wide for a column is a `table*`, over
    both, and smaller where it must be. Lines of a cell or a heading stand one above the other.
    """
    headings = [[_latex(line) for line in _heading_lines(column)] for column in table.columns]
    rows = [[_latex_lines(cell) for cell in row] for row in cells_of(table)]
    environment, size = _latex_size(_width(table))
    right = right_aligned(table)
    columns = "".join("r" if each else "l" for each in right)
    notes = [rf"\par\footnotesize {_latex(note)}" for note in notes_of(table)]
    between = [r"\addlinespace"] if any(len(cell) > 1 for row in rows for cell in row) else []
    lines = [line for row in rows for line in (*between, _latex_row(row, right))]
    return "\n".join(
        [
            rf"\begin{{{environment}}}",
            r"\centering",
            rf"\caption{{{_latex(title_of(table))}}}",
            size,
            r"\setlength{\tabcolsep}{3pt}",
            rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"\toprule",
            _latex_row(headings, right),
            r"\midrule",
            *lines[len(between) :],
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip\raggedright"] if notes else []),
            *notes,
            rf"\end{{{environment}}}",
            "",
        ]
    )


def as_csv(table: Table) -> str:
    """The table's headings and rows; a line end inside a cell becomes a space."""
    rows = ([_line(cell.plain) for cell in row] for row in cells_of(table))
    return csv_text([headings_of(table), *rows])


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
}


def cells_of(table: Table) -> list[list[Text]]:
    """The cells of each row, as they are written; one that is marked is in bold."""
    columns = [[_text(cell) for cell in column.cells] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def headings_of(table: Table) -> list[str]:
    """The headings, each on one line."""
    return [heading_line(str(column.header)) for column in table.columns]


def is_bold(cell: Text) -> bool:
    return "bold" in str(cell.style)


def right_aligned(table: Table) -> list[bool]:
    return [column.justify == "right" for column in table.columns]


def title_of(table: Table) -> str:
    return str(table.title)


def notes_of(table: Table) -> list[str]:
    """The lines of its caption."""
    return [note for note in str(table.caption or "").splitlines() if note]


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def heading_line(text: str) -> str:
    """A heading in one line: its line ends only save width."""
    return text.replace("/\n", "/").replace("\n", " ")


def _heading_lines(column: Column) -> list[str]:
    return str(column.header).splitlines() or [""]


def _markdown(text: str) -> str:
    """Runs of spaces closed up, and no sign of markdown's own."""
    return re.sub(r"([\\|*_~<>])", r"\\\1", re.sub(r" +", " ", text.strip()))


def _markdown_cell(cell: Text) -> str:
    lines = [_markdown(line) for line in cell.plain.splitlines()]
    if is_bold(cell):
        lines[:1] = [f"**{line}**" for line in lines[:1] if line]
    return "<br>".join(lines)


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in _line(text))


def _latex_lines(cell: Text) -> list[str]:
    lines = [_latex(line) for line in cell.plain.splitlines()]
    if is_bold(cell):
        lines[:1] = [rf"\textbf{{{line}}}" for line in lines[:1] if line]
    return lines


def _latex_row(cells: Iterable[list[str]], right: Iterable[bool]) -> str:
    stacked = [_stacked(cell, each) for cell, each in zip(cells, right, strict=True)]
    return rf"{' & '.join(stacked)} \\"


def _stacked(lines: list[str], right: bool) -> str:
    if len(lines) < 2:
        return "".join(lines)
    place, inside = "r" if right else "l", r" \\ ".join(lines)
    return rf"\begin{{tabular}}[t]{{@{{}}{place}@{{}}}}{inside}\end{{tabular}}"


def _width(table: Table) -> int:
    """Letters of the longest line of each column, and two for the space between columns."""
    letters = [
        max(
            len(line)
            for text in (str(column.header), *(_text(cell).plain for cell in column.cells))
            for line in (text.splitlines() or [""])
        )
        for column in table.columns
    ]
    return sum(letters) + 2 * len(letters)


def _latex_size(letters: int) -> tuple[str, str]:
    """The environment, and the size of type, in which so many letters have room."""
    for environment, size, room in ROOM:
        if letters <= room:
            return environment, size
    return ROOM[-1][:2]


def _line(text: str) -> str:
    return " ".join(text.split())
