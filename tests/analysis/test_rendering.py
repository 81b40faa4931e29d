"""One table in three forms."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from noisetune.analysis.rendering import FORMATS, as_csv, as_latex, as_markdown
from noisetune.analysis.tables import plain_table

TEXT = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12)
SIGNS = re.compile(r"(?<!\\)[&%$#_{}~^<>|]")


def table(rows: list[tuple[str, str]], title: str = "a title", caption: str = "") -> object:
    made = plain_table(title)
    made.caption = caption
    made.add_column("name")
    made.add_column("noisy\nbest", justify="right")
    for row in rows:
        made.add_row(*row)
    return made


def test_a_table_of_latex() -> None:
    made = table(
        [("noise.rate=0.3", "95.7 ±1.1"), ("a_b & c", "5 %\n1 pruned")], "100 %", "one\ntwo"
    )
    assert as_latex(made) == "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\caption{100 \%}",
            r"\footnotesize",
            r"\setlength{\tabcolsep}{3pt}",
            r"\begin{tabular}{@{}lr@{}}",
            r"\toprule",
            r"name & \begin{tabular}[t]{@{}r@{}}noisy \\ best\end{tabular} \\",
            r"\midrule",
            r"noise.rate=0.3 & 95.7 $\pm$1.1 \\",
            r"\addlinespace",
            r"a\_b \& c & \begin{tabular}[t]{@{}r@{}}5 \% \\ 1 pruned\end{tabular} \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\smallskip\raggedright",
            r"\par\footnotesize one",
            r"\par\footnotesize two",
            r"\end{table}",
            "",
        ]
    )


@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=4))
def test_csv_has_every_cell(rows: list[tuple[str, str]]) -> None:
    read = list(csv.reader(io.StringIO(as_csv(table(rows)))))
    assert read[0] == ["name", "noisy best"]
    assert read[1:] == [[" ".join(cell.split()) for cell in row] for row in rows]


@given(text=TEXT)
def test_no_sign_of_latex_is_left_bare(text: str) -> None:
    (line,) = (
        line for line in as_latex(table([(text, "")])).splitlines() if line.endswith(r"&  \\")
    )
    cell = line.removesuffix(r" &  \\")
    for written in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}",
                    r"\textless{}", r"\textgreater{}", r"\textbar{}"):  # fmt: skip
        cell = cell.replace(written, "")
    assert not SIGNS.search(cell)


def test_there_is_a_form_for_each_option() -> None:
    assert list(FORMATS) == ["markdown", "latex", "csv"]


@pytest.mark.parametrize(
    ("letters", "start"),
    [(10, r"\begin{table}"), (55, r"\begin{table}"), (80, r"\begin{table*}")],
)
def test_a_table_that_is_wider_than_a_column_takes_both(letters: int, start: str) -> None:
    written = as_latex(table([("x" * letters, "1")]))
    assert written.startswith(start + "\n")
    assert written.rstrip().endswith(start.replace("begin", "end"))


def test_a_marked_cell_is_bold_in_its_first_line() -> None:
    made = plain_table("title")
    made.add_column("value")
    made.add_row(Text("95.1\n94..96", "bold"))
    assert r"{@{}l@{}}\textbf{95.1} \\ 94..96\end{tabular}" in as_latex(made)
    assert "| **95.1**<br>94..96 |" in as_markdown(made)
    assert as_csv(made).splitlines()[1] == "95.1 94..96"
