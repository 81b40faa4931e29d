"""Figures as files, and as parts of a page that share its colours and no name with one another."""

import io
import re

from matplotlib.figure import Figure

from noisetune.report.style import INK, WHITE

DPI = 200
PLACES = re.compile(r'\b(?:d|transform|points|x|y|width|height|viewBox)="[^"]*"')
NUMBER = re.compile(r"-?\d+\.\d{3,}")
ARM = re.compile(r'<g id="(arm\.([A-Za-z0-9_-]+)\.\w+)"')


def as_png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, facecolor=WHITE, metadata={"Software": None})
    return out.getvalue()


def as_svg(figure: Figure) -> str:
    """A file of its own; the same bytes for the same figure."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=nothing)
    return PLACES.sub(lambda places: NUMBER.sub(_rounded, places[0]), out.getvalue())


def inlined(svg: str, name: str, alt_id: str) -> str:
    """The drawing of an SVG file for a page: its text in the page's colour, its ids its own.

    Elements of an arm have the class `arm`, and the arm's name as `data-arm`.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", body,
                  flags=re.DOTALL)  # fmt: skip
    body = re.sub(r' xmlns(:xlink)?="[^"]*"', "", body, count=2)
    body = ARM.sub(r'<g class="arm" data-arm="\2" id="\1"', body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
    body = body.replace(INK, "currentColor").replace("'DejaVu Sans'", "sans-serif")
    width, height = (float(each) for each in re.findall(r'(?:width|height)="([\d.]+)pt"', body)[:2])
    head = (
        f'<svg role="img" aria-labelledby="{alt_id}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * 4 / 3:.0f}" height="{height * 4 / 3:.0f}">'
    )
    return re.sub(r"<svg[^>]*>", head, body, count=1)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
