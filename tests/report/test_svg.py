"""Figures as files, and within a page."""

import re

from matplotlib.figure import Figure

from noisetune.report.style import INK, grid_of, legend, looks, marked, styled
from noisetune.report.svg import as_png, as_svg, inlined


def drawn() -> Figure:
    figure, (ax,) = grid_of(1)
    look = looks(["simclr", "none"])
    for arm, each in look.items():
        marked(ax.plot([0, 1, 2], [0.001, 0.002, 0.003], **each.of_line), arm, [len(arm)])
    ax.set_title("0.123456")
    legend(figure, look)
    return figure


def test_the_same_figure_gives_the_same_bytes_and_no_date() -> None:
    with styled():
        assert as_svg(drawn()) == as_svg(drawn())
        assert as_png(drawn()) == as_png(drawn())
        assert "<dc:date>" not in as_svg(drawn())


def test_places_are_rounded_and_what_is_read_is_not() -> None:
    with styled():
        svg = as_svg(drawn())
    paths = re.findall(r' d="([^"]*)"', svg)
    assert paths
    assert not any(re.search(r"\.\d{3}", path) for path in paths)
    assert "0.123456" in svg
    assert "0.0010" in svg or "0.001" in svg


def test_within_a_page_it_has_its_own_names_and_the_colour_of_the_text() -> None:
    with styled():
        part = inlined(as_svg(drawn()), "mine", "mine-alt")
    ids = re.findall(r'\bid="([^"]*)"', part)
    assert ids
    assert all(each.startswith("mine-") for each in ids)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(#|href="#)([^")]*)', part)
    assert set(used) <= set(ids)
    assert INK not in part
    assert "currentColor" in part
    assert 'aria-labelledby="mine-alt"' in part
    assert set(re.findall(r'class="arm" data-arm="([^"]*)"', part)) == {"simclr", "none"}
