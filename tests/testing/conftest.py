"""A package of somebody's own: the one that docs/extending.md writes, file by file."""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
MAIN = [sys.executable, "-c", "from noisetune.cli import main; main()"]
FILE = re.compile(r"`my_plugins/(\w+)\.py`:\n\n```python\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The document's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@dataclass(frozen=True)
class Outside:
    """A folder that Python looks into, as it does into its site-packages."""

    folder: Path

    @property
    def package(self) -> Path:
        return self.folder / "my_plugins"

    @property
    def trial(self) -> str:
        """The document's trial, with a plug-in of each kind, as YAML."""
        return blocks("yaml")[0]

    @property
    def own_test(self) -> str:
        """The document's test of a plug-in that is given settings."""
        return next(text for text in blocks("python") if "def test_" in text)

    @property
    def entry_points(self) -> Path:
        return self.folder / "my_plugins-0.1.dist-info" / "entry_points.txt"

    def run(self, *words: object, main: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """`noisetune ...`, or another program, in a fresh interpreter that finds the package."""
        path = os.pathsep.join([str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [*(main or MAIN), *map(str, words)],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=280,
        )


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """The package as pip would have installed it."""
    made = Outside(tmp_path)
    made.package.mkdir()
    (made.package / "__init__.py").write_text('"""Plug-ins of my own."""\n')
    for name, text in FILE.findall(DOCUMENT.read_text()):
        (made.package / f"{name}.py").write_text(text)
    project = tomllib.loads(blocks("toml")[0])["project"]
    made.entry_points.parent.mkdir()
    (made.entry_points.parent / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    made.entry_points.write_text("".join(lines))
    return made
