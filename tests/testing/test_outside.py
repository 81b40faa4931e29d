"""A package of somebody's own adds a plug-in of each kind, and nothing in noisetune knows of it."""

import json
import re
import sys
from typing import Any

import pytest

from noisetune.config import SELECTORS

PYTEST = (sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--pyargs")
HALF = "from noisetune.ssl.base import SSLConfig\nclass Config(SSLConfig:\n"


@pytest.fixture
def with_broken_ones(outside: Any) -> Any:
    """The package with a file that is half written, and a name that is taken."""
    (outside.package / "half.py").write_text(HALF)
    more = "half = my_plugins.half\nsimclr = my_plugins.my_teacher\n"
    text = outside.entry_points.read_text()
    outside.entry_points.write_text(text.replace("[noisetune.ssl]\n", "[noisetune.ssl]\n" + more))
    return outside


@pytest.mark.long
def test_a_trial_that_names_all_six_runs_to_its_end(with_broken_ones: Any) -> None:
    """Each broken one beside them is a line of warning."""
    outside = with_broken_ones
    (outside.folder / "mine.yaml").write_text(outside.trial)
    ended = outside.run("run", "mine.yaml")
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    half, taken = (line for line in ended.stderr.splitlines() if "left out" in line)
    assert "entry point half = my_plugins.half: SyntaxError: " in half
    assert "simclr = my_plugins.my_teacher: TypeError: the name is taken by noisetune.ssl" in taken
    result = json.loads((outside.folder / "mine.result.json").read_text())
    chosen = {result["config"][section][selector] for section, selector in SELECTORS.items()}
    assert len(chosen) == 6
    assert all(name.startswith("my_") for name in chosen)
    assert result["detection"]["auroc"] is not None


@pytest.mark.long
def test_its_plugins_are_found_and_keep_their_promises(outside: Any) -> None:
    """Those of the installed ones, and that of the document's own test."""
    (outside.folder / "test_mine.py").write_text(outside.own_test)
    ended = outside.run("noisetune.testing", "test_mine.py", "-k", "my_ or wider", main=PYTEST)
    assert ended.returncode == 0, ended.stdout
    lines = re.findall(r"^(\S+) (PASSED|SKIPPED|FAILED)", ended.stdout, re.MULTILINE)
    assert {verdict for _, verdict in lines} == {"PASSED"}
    found = {name for test, _ in lines for name in re.findall(r"\[(\w+)-my_", test)}
    assert found == set(SELECTORS)
    assert any(test.startswith("test_mine.py") for test, _ in lines)


@pytest.mark.long
def test_who_names_a_broken_one_is_told_the_reason(with_broken_ones: Any) -> None:
    (with_broken_ones.folder / "half.yaml").write_text("pretrain: {method: half}\n")
    ended = with_broken_ones.run("run", "half.yaml")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    reason = "half.yaml: pretrain.method: 'half' cannot be loaded: entry point half = my_plugins"
    assert reason in ended.stderr


def test_a_broken_one_is_in_the_way_of_no_other_command(with_broken_ones: Any) -> None:
    ended = with_broken_ones.run("--help")
    assert ended.returncode == 0, ended.stderr
