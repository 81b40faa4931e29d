"""Reports as files."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_up_view import made_up_view

from noisetune.errors import UserError
from noisetune.report.view import SweepView
from noisetune.report.writing import Report, check_place, report_of, write_report


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.long
def test_the_same_sweep_gives_the_same_bytes(report: Report) -> None:
    assert dict(report_of(made_up_view()).files()) == dict(report.files())


def test_every_figure_and_table_is_a_file(report: Report, tmp_path: Path) -> None:
    page = write_report(report, tmp_path / "report")
    written = contents(tmp_path / "report")
    assert page == tmp_path / "report" / "index.html"
    names = {each.name for section in report.sections for each in section.drawings}
    tables = {name for section in report.sections for name in section.tables or {}}
    assert {"accuracy-by-noise", "fine-tuning", "calibration", "ranking", "pruning"} <= names
    assert {"results", "comparisons", "gains", "detection-1", "cost", "ranking"} <= tables
    assert set(written) == {
        "index.html",
        *(f"figures/{name}.{end}" for name in names for end in ("png", "svg")),
        *(f"tables/{name}.{end}" for name in tables for end in ("csv", "md", "tex")),
    }
    assert all(written.values())
    assert [each.name for each in tmp_path.iterdir()] == ["report"]


def test_a_report_takes_the_place_of_the_one_before(view: SweepView, tmp_path: Path) -> None:
    small = replace(view, searched={}, predictions={}, seconds={}, curves={})
    write_report(report_of(small), tmp_path / "report")
    smaller = report_of(replace(small, records=view.records[:3]))
    write_report(smaller, tmp_path / "report")
    assert set(contents(tmp_path / "report")) == {name for name, _ in smaller.files()}


@pytest.mark.long
def test_one_that_cannot_be_written_leaves_the_one_before(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(report, tmp_path / "report")
    before, rename = contents(tmp_path / "report"), Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError("no room")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no room"):
        write_report(report, tmp_path / "report")
    assert contents(tmp_path / "report") == before
    assert [each.name for each in tmp_path.iterdir()] == ["report"]


@pytest.mark.long
def test_nothing_but_a_report_is_replaced(report: Report, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"--out .*other files than a report \(thesis.tex\)"):
        check_place(tmp_path, "--out")
    check_place(tmp_path / "new", "--out")
    check_place(write_report(report, tmp_path / "old").parent, "--out")
    with pytest.raises(UserError, match="is no folder"):
        check_place(tmp_path / "thesis.tex", "--out")
