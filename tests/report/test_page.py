"""The page: whole in itself, light, and open to all who read it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from noisetune.report.view import SweepView
from noisetune.report.writing import Report, report_of

MOST_BYTES = 2_000_000
VOID = {"meta", "link", "br"}


class Elements(HTMLParser):
    """Every element with its attributes; whether each is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value for _, attributes in self.found if (value := attributes.get(name))]


@pytest.fixture(scope="module")
def elements(report: Report) -> Elements:
    return Elements(report.html)


@pytest.mark.long
def test_a_hundred_trials_are_at_most_two_megabytes(view: SweepView, report: Report) -> None:
    assert len(view.records) == 99
    assert len(report.html.encode()) < MOST_BYTES


def test_it_asks_nobody_for_anything(report: Report, elements: Elements) -> None:
    asked = [*elements.values("src"), *elements.values("xlink:href"), *elements.values("href")]
    assert {each[:5] for each in asked if not each.startswith("#")} == {"data:"}
    assert not re.search(r"https?:|@import|url\((?!#)|//[a-z]+\.", report.html)


def test_it_is_well_formed_and_no_name_is_there_twice(elements: Elements) -> None:
    assert elements.open == []
    ids = elements.values("id")
    assert len(ids) == len(set(ids))


def test_every_link_and_label_leads_somewhere(elements: Elements) -> None:
    ids = set(elements.values("id"))
    targets = [*elements.values("href"), *elements.values("xlink:href")]
    assert {each[1:] for each in targets if each.startswith("#")} <= ids
    assert set(elements.values("aria-labelledby")) <= ids


def test_every_figure_says_what_is_in_it_what_to_read_and_where_it_is_from(
    report: Report,
) -> None:
    figures = re.findall(r"<figure .*?</figure>", report.html, re.DOTALL)
    assert len(figures) == len(report.drawn) >= 7
    for figure in figures:
        assert re.search(r'-alt" class="hidden">[^<]{20,}</span>', figure)
        assert re.search(r"<figcaption>Read [^<]{40,}", figure)
        assert re.search(r'<a href="#runs-\d+">\d+ (replicate|trial)', figure)


def test_headings_are_the_table_of_contents(report: Report, elements: Elements) -> None:
    headings = re.findall(r'<h2 id="([^"]*)">', report.html)
    contents = report.html.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'href="#([^"]*)"', contents) == headings
    assert [tag for tag, _ in elements.found if tag == "h1"] == ["h1"]


def test_what_a_user_named_is_text(view: SweepView) -> None:
    named = replace(view, name="<script>alert(1)</script>", notices=("a & <b>",))
    html = report_of(named).html
    assert "<script>alert" not in html
    assert "a &amp; &lt;b&gt;" in html


@pytest.mark.parametrize(
    ("state", "refresh", "loads"),
    [("running", True, True), ("running", False, False), ("finished", True, False)],
)
def test_it_loads_itself_anew_while_the_sweep_runs_alone(
    view: SweepView, state: str, refresh: bool, loads: bool
) -> None:
    small = replace(view, state=state, records=view.records[:2], searched={}, predictions={})
    assert ('http-equiv="refresh"' in report_of(small, refresh).html) is loads
