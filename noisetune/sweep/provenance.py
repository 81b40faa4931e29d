"""Where a sweep is driven: what whoever repeats it has to know of machine and programs."""

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from noisetune.errors import UserError
from noisetune.lines import append_lines, cut_damaged_end, keep_whole_lines, read_lines
from noisetune.sweep.home import Home
from noisetune.tracking import source

if TYPE_CHECKING:
    from noisetune.sweep.resolution import Resolution

PACKAGES = (
    "torch", "torchvision", "timm", "optuna", "ray", "mlflow", "cleanlab", "numpy", "scikit-learn",
)  # fmt: skip
REMEDY = "delete it to do without what it says"
GIGABYTE = 2**30


def note_drive(home: Home, name: str, resolutions: "Iterable[Resolution]" = ()) -> None:
    """Write down where a sweep is driven, and what its noisy labels can tell apart; a drive that is
    like the last one says nothing new.

    OSError where the disk refuses.
    """
    _mend(home.drives(name))
    here = drive_here() | {"resolutions": [asdict(each) for each in resolutions]}
    told = drives_of(home, name)
    if not told or told[-1] != here:
        append_lines(home.drives(name), [here])


def _mend(path: Path) -> None:
    """Take out what a driver that died left in part; a copy is kept, and it is said."""
    try:
        cut_damaged_end(path, REMEDY)
    except UserError:
        keep_whole_lines(path, REMEDY)


def drives_of(home: Home, name: str) -> list[dict[str, Any]]:
    """Where a sweep was driven, in the order of time; UserError for a damaged file."""
    lines = (dict(record) for _, record in read_lines(home.drives(name), REMEDY))
    return [{key: value for key, value in each.items() if key != "checksum"} for each in lines]


def drive_here() -> dict[str, Any]:
    """This process and machine: no name of a host or a user is in it, but in its command."""
    return {
        "command": command(),
        "noisetune": _version("noisetune"),
        "commit": commit(Path(__file__).parent),
        "python": platform.python_version(),
        "versions": dict(_versions()),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / GIGABYTE:.0f} GiB",
        "gpus": _gpus(),
    }


def command() -> str:
    """What was typed, without passwords; of a program that calls the package, its name alone."""
    program = Path(sys.argv[0])
    if program.name == "noisetune" or program.parts[-2:] == ("noisetune", "__main__.py"):
        return source.command(["noisetune", *sys.argv[1:]])
    return program.name


def commit(folder: Path) -> str | None:
    """The git commit of the sources, with a mark where they were changed; None where there is
    none."""
    tags = source.git_tags(folder)
    head = tags.get(source.COMMIT)
    return f"{head} (changed)" if head and tags[source.DIRTY] == "true" else head


def _versions() -> Iterator[tuple[str, str]]:
    known = ((package, _version(package)) for package in PACKAGES)
    yield from ((package, found) for package, found in known if found is not None)


def _version(package: str) -> str | None:
    """As it is installed; None where it only lies on the path."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Its name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _gpus() -> list[str]:
    """Of this machine; torch is asked only where it is there already: it takes seconds to load."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
