"""The site builds without a network or a warning, and its pages are as their sources mean them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parents[1]
FETCHED = re.compile(
    r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(https?:)?//[^>]*>"""
)
MEANT_AS_MARKDOWN = re.compile(r"<p>[^<]*(?:<(?!/p>)[^<]*)*?\n(?:\||[-*] |\d+\. |```)")
"""A table, list or block below a line of text, which is one on GitHub, and text in the site."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a link or an anchor that leads nowhere is an error."""
    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "docs/site/mkdocs.yml"), site_dir=str(folder))
    assert config.strict
    build(config)
    return folder


def pages(site: Path) -> Iterator[tuple[str, str]]:
    yield from ((file.name, file.read_text()) for file in sorted(site.glob("*.html")))


def test_every_document_is_a_page_that_navigation_leads_to(site: Path) -> None:
    documents = {file.stem for file in (ROOT / "docs").glob("*.md")}
    start = (site / "index.html").read_text()
    for name in documents | {"cluster", "contributing", "changes"}:
        assert (site / f"{name}.html").is_file()
        assert f'<a href="{name}.html" class="md-nav__link"' in start


def test_what_a_page_shows_is_what_its_source_means(site: Path) -> None:
    for name, html in pages(site):
        assert not MEANT_AS_MARKDOWN.search(html), name
        assert "&lt;!-- tests:" not in html or name == "contributing.html"


def test_links_out_of_docs_lead_to_pages_and_files_of_the_site(site: Path) -> None:
    start = (site / "index.html").read_text()
    assert '<a href="cluster.html">how to start one</a>' in start
    assert '<a href="sweeps/quickstart.yaml">' in start
    own = (ROOT / "sweeps/quickstart.yaml").read_bytes()
    assert (site / "sweeps/quickstart.yaml").read_bytes() == own


def test_pages_ask_no_network_for_anything(site: Path) -> None:
    for name, html in pages(site):
        assert not FETCHED.search(html), name
