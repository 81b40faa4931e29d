"""Tables go into a paper of two columns as they are: compiled by a real LaTeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from noisetune.report.view import SweepView
from noisetune.report.writing import report_of

PAPER = r"""\documentclass[conference]{IEEEtran}
\usepackage{booktabs}
\begin{document}
\title{Tables}\author{\IEEEauthorblockN{Nobody}}\maketitle
Text of a column.
%s
\end{document}
"""


@pytest.mark.system
@pytest.mark.parametrize("kind", ["view", "searched"])
def test_tables_compile_and_stay_within_their_columns(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("no pdflatex on this machine")
    if not subprocess.run(["kpsewhich", "IEEEtran.cls"], capture_output=True).stdout:
        pytest.skip("no IEEEtran on this machine")
    view: SweepView = request.getfixturevalue(kind)
    tables = {n: c.decode() for n, c in report_of(view).files() if n.endswith(".tex")}
    assert len(tables) >= 6
    inputs = "\n".join(rf"\input{{{Path(name).stem}}}\clearpage" for name in tables)
    for name, content in tables.items():
        (tmp_path / Path(name).name).write_text(content)
    (tmp_path / "paper.tex").write_text(PAPER % inputs)
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert re.findall(r"Overfull \\hbox \((.*?)\) in .*", log) == []
    assert "Warning: Reference" not in log
