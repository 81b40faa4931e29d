"""Tables for elsewhere: GitHub markdown for pages, LaTeX for papers, CSV for programs."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator

from rich.table import Table

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "†": r"$\dagger$", "×": r"$\times$",
}  # fmt: skip
"""What stands for a sign that LaTeX takes as its own, or that its fonts lack."""


def as_markdown(table: Table) -> str:
    """The table with its title above and each note of its caption below; columns aligned as in it.

    A line end inside a cell becomes `<br>`; in a heading, where it only saves width, it goes.
    """
    rules = ["---:" if right else "---" for right in _right(table)]
    headings, *rows = _rows(table, lambda text: _markdown(text).replace("\n", "<br>"))
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, rules, *rows)]
    notes = [_markdown(note) for note in notes_of(table)]
    return "\n\n".join([f"**{_markdown(_title(table))}**", "\n".join(lines), *notes]) + "\n"


def as_latex(table: Table) -> str:
    """The table as a `table` of LaTeX's, its title the caption; it needs the package booktabs.

    A line end inside a cell becomes a space.
    """
    headings, *rows = _rows(table, _latex)
    columns = "".join("r" if right else "l" for right in _right(table))
    notes = [rf"\par\footnotesize {_latex(note)}" for note in notes_of(table)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(_title(table))}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _latex_row(headings),
            r"\midrule",
            *map(_latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def as_csv(table: Table) -> str:
    """The table's headings and rows; a line end inside a cell becomes a space."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(_rows(table, _line))
    return out.getvalue()


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
}


def _rows(table: Table, write: Callable[[str], str]) -> Iterator[list[str]]:
    """The headings, then the cells of each row."""
    yield [write(heading_line(str(column.header))) for column in table.columns]
    cells = (map(str, column.cells) for column in table.columns)
    yield from ([write(cell) for cell in row] for row in zip(*cells, strict=True))


def heading_line(text: str) -> str:
    """A heading in one line: its line ends only save width."""
    return text.replace("/\n", "/").replace("\n", " ")


def _right(table: Table) -> list[bool]:
    return [column.justify == "right" for column in table.columns]


def _title(table: Table) -> str:
    return str(table.title)


def notes_of(table: Table) -> Iterable[str]:
    """The notes that stand below a table, one a line of its caption."""
    return (note for note in str(table.caption or "").splitlines() if note)


def _markdown(text: str) -> str:
    """Runs of spaces closed up, and no sign of markdown's own."""
    return re.sub(r"([\\|*_~<>])", r"\\\1", re.sub(r" +", " ", text.strip()))


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in _line(text))


def _latex_row(cells: Iterable[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _line(text: str) -> str:
    return " ".join(text.split())
