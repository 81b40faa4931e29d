"""The tutorial and the how-to pages run, from their first block to their last."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks, calls

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("tutorial", "own-images", "features", "resume", "report", "cluster")
RUN = [f"docs/{name}.md" for name in NAMES]
IN_PLACE = {"noisetune": [sys.executable, "-m", "noisetune"], "python": [sys.executable]}
if shutil.which("pdflatex"):
    IN_PLACE["pdflatex"] = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error"]
PAGE = """
Write a file, and look at it:

```text title="quick.txt"
quick
```

<!-- tests: slow.txt => quick.txt -->
<!-- tests: run python -c "print(0)" -->

    python -c "print(open('slow.txt').read())"   # it is in sweeps/slow.txt.gz, too
    python -c "print(1)" && noisetune list
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what a reader's checkout has, in which commands are typed."""
    for folder in ("sweeps", "search_spaces"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_tests_put_one_thing_in_the_place_of_another() -> None:
    written, typed = blocks(PAGE)
    assert "slow.txt'" in typed.text
    assert (written.file, written.text, written.commands) == ("quick.txt", "quick\n", [])
    _, before, typed = blocks(PAGE, as_tested=True)
    assert before.commands == ['python -c "print(0)"']
    assert [calls(line) for line in typed.commands] == [
        [["python", "-c", "print(open('quick.txt').read())"]],
        [["python", "-c", "print(1)"], ["noisetune", "list"]],
    ]
    assert "sweeps/slow.txt.gz" in typed.text


@pytest.mark.long
def test_a_small_page_runs(checkout: Path) -> None:
    *printed, listed = run_page(PAGE, checkout)
    assert printed == ["0\n", "quick\n\n", "1\n"]
    assert listed.startswith("no sweep in mlruns yet")
    with pytest.raises(AssertionError, match="no sweep"):
        run_page("    noisetune status nothing\n", checkout)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", RUN)
def test_a_page_runs_in_its_order(page: str, checkout: Path) -> None:
    said = run_page((ROOT / page).read_text(), checkout)
    assert len(said) > 3


def run_page(page: str, folder: Path) -> list[str]:
    """Write a page's files and run its commands there; what each of these said.

    Other programs than noisetune, Python and, where there is one, LaTeX are left out: they install
    something, or need another host.
    """
    said = []
    for block in blocks(page, as_tested=True):
        if block.file:
            (folder / block.file).write_text(block.text)
        for line in block.commands:
            typed = [
                IN_PLACE[words[0]] + words[1:] for words in calls(line) if words[0] in IN_PLACE
            ]
            said += [output(words, folder) for words in typed]
    return said


def output(words: list[str], folder: Path) -> str:
    """What a command printed; a failure where it failed."""
    changed = {"NOISETUNE_CACHE": str(folder / "cache"), "COLUMNS": "80"}
    done = subprocess.run(
        words, cwd=folder, env=os.environ | changed, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout
