"""The page in a real browser: at two widths, light and dark, nothing hangs out or is empty."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from noisetune.report.writing import Report, write_report

LOOK = """<!doctype html><meta charset="utf-8">
<body style="margin:0"><iframe id="page" src="report/index.html"
 style="border:0;width:WIDTHpx;height:900px"></iframe><pre id="seen"></pre><script>
document.getElementById("page").addEventListener("load", (event) => {
  const page = event.target.contentDocument, root = page.documentElement;
  const all = (query) => [...page.querySelectorAll(query)];
  const box = (element) => element.getBoundingClientRect();
  const inside = (element) => element.closest(".drawing, .table, pre") !== null;
  const wide = all("main *, header *, nav *").filter((each) =>
    !inside(each) && box(each).right > root.clientWidth + 1);
  const texts = all("figure").flatMap((figure) => {
    const drawn = box(figure.querySelector("svg"));
    return [...figure.querySelectorAll("svg text")].filter((text) => {
      const at = box(text);
      return at.left < drawn.left - 1 || at.right > drawn.right + 1 ||
        at.top < drawn.top - 1 || at.bottom > drawn.bottom + 1;
    }).map((text) => figure.id + ": " + text.textContent);
  });
  const style = page.defaultView.getComputedStyle(page.body);
  all("th button")[0].click();
  all("[data-highlight]")[0].click();
  document.getElementById("seen").textContent = JSON.stringify({
    overflow: root.scrollWidth - root.clientWidth,
    wide: wide.map((each) => each.tagName + "." + each.className),
    figures: all("figure svg").map((svg) => [box(svg).width, box(svg).height]),
    rows: all("table").map((table) => table.tBodies[0].rows.length),
    cut: texts,
    ground: style.backgroundColor,
    ink: style.color,
    sorted: all("th[aria-sort]").length,
    lit: all("figure .lit").length,
  });
});
</script>"""
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}


def browser() -> str:
    """The path of a Chromium; skips where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


def run(folder: Path, page: Path, scheme: str, *options: str) -> str:
    command = [
        *(browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", f"--user-data-dir={folder / 'profile'}"),
        *("--allow-file-access-from-files", "--virtual-time-budget=5000"),
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
        *(*options, page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.system
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_hangs_out_and_every_figure_is_seen(
    report: Report, tmp_path: Path, width: int, scheme: str
) -> None:
    write_report(report, tmp_path / "report")
    look = tmp_path / "look.html"
    look.write_text(LOOK.replace("WIDTH", str(width)))
    html = run(tmp_path, look, scheme, "--dump-dom", "--window-size=1400,1000")
    told = re.search(r'<pre id="seen">(.*?)</pre>', html, re.DOTALL)
    assert told
    seen = json.loads(told[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert seen["overflow"] <= 0
    assert seen["wide"] == []
    assert seen["cut"] == []
    assert len(seen["figures"]) == len(report.drawn)
    assert all(wide > 300 and high > 100 for wide, high in seen["figures"])
    assert all(seen["rows"])
    assert seen["ground"] == GROUNDS[scheme]
    assert seen["ink"] != seen["ground"]
    assert seen["sorted"] == 1
    assert seen["lit"] > 0


@pytest.mark.system
def test_it_can_be_printed(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "report")
    page, paper = tmp_path / "report" / "index.html", tmp_path / "paper.pdf"
    run(tmp_path, page, "light", f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 20_000
