"""Dependencies point one way. Every import is read from the source: those inside of functions and
those for a type checker, too, since whoever reads a file follows them all."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "noisetune"
FILES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
}

GROUND = {
    "allowed", "answers", "arrays", "caches", "curves", "errors", "files", "leaving", "lines",
    "memory", "plugins", "predictions", "records", "section", "seeds", "selection", "sizes",
    "texts", "yaml_files",
}  # fmt: skip
BELOW_PLUGINS = {*GROUND, "store", "training"}
PLUGINS = {"data", "noise", "models", "ssl", "finetuning", "detectors"}
BELOW_STAGES = {*BELOW_PLUGINS, *PLUGINS, "config", "datasets", "protocols"}
BELOW_SWEEP = {*BELOW_STAGES, "stages", "pipeline"}
SPEC = {"sweep", "sweep.home", "sweep.spec"}
ROOMS = {*SPEC, "sweep.study", "sweep.resources", "sweep.execution"}
ABOVE = {"sweep.plan", "sweep.planned_trials", "sweep.preflight", "sweep.resolution"}
ABOVE |= {"sweep.smoke_run"}
REPORTING = {"analysis", "report", "tracking"}
RUNNING = {
    "sweep.about",
    "sweep.closing",
    "sweep.outcome",
    "sweep.doctor",
    "sweep.findings",
    "sweep.host_findings",
    "sweep.foresight",
    "sweep.log",
    "sweep.overview",
    "sweep.provenance",
    "sweep.reports",
    "sweep.reporter",
    "sweep.results",
    "sweep.run",
    "sweep.summary",
    "sweep.sync",
    "sweep.watch",
    "sweep.trial_files",
    "sweep.viewed",
    "sweep.winners",
}
ALL = {*BELOW_SWEEP, "inference", *ROOMS, *ABOVE, *REPORTING, *RUNNING}

MAY_IMPORT = {
    **dict.fromkeys(GROUND, GROUND),
    "store": GROUND,
    "training": {*GROUND, "store"},
    **{folder: {*BELOW_PLUGINS, *PLUGINS} for folder in PLUGINS},
    "protocols": GROUND,
    "datasets": {*BELOW_PLUGINS, *PLUGINS},
    "config": BELOW_STAGES,
    "stages": BELOW_STAGES,
    "pipeline": {*BELOW_STAGES, "stages"},
    "inference": {*BELOW_STAGES, "stages"},
    # Found as a file by who registers a model, and imported where that is served.
    "serving": {"inference"},
    # A trial is run by the trainable alone: the others know configurations, stages and keys.
    "sweep": set(),
    "sweep.home": {*GROUND, "store"},
    "sweep.spec": {*BELOW_STAGES, *SPEC},
    # Which replicates are asked for follows from what is established.
    "sweep.study": {*BELOW_STAGES, "stages", *SPEC, "analysis"},
    "sweep.resources": {*BELOW_STAGES, "stages", *SPEC},
    "sweep.execution": {*BELOW_SWEEP, *ROOMS},
    **{file: {*BELOW_SWEEP, *ROOMS, *ABOVE} for file in ABOVE},
    # One call runs a sweep, tells MLflow of it and gives its tables.
    **dict.fromkeys(RUNNING, ALL),
    "tracking": GROUND,
    "analysis": GROUND,
    "report": {*GROUND, "analysis"},
    # What a person or a program calls.
    **{name: {*ALL, "trial"} for name in ("", "bench", "clean", "reference", "testing")},
    "trial": {*BELOW_SWEEP, "sweep.home"},
    "cli": {"", *ALL, "bench", "clean", "trial"},
    "__main__": {"cli"},
}
"""What the files of a room, a part of the package, may import beside their own room."""

EXCEPTIONS = {
    # How fast a network is on a device can only be measured on one: the contract of models.
    ("noisetune.training.speed", "noisetune.models.base"),
    ("noisetune.training.timing", "noisetune.models.base"),
    # And what it fails at only a look at its layers can tell.
    ("noisetune.training.memory_format", "noisetune.models.base"),
}

HOMES = {
    # The benchmarks measure the libraries themselves, and what a user of them alone would write.
    "ray": {"sweep", "bench"},
    "mlflow": {"tracking", "serving", "bench"},
    "optuna": {"sweep", "analysis", "report", "bench"},
}
"""Where alone in the package these may be imported."""


def imports(module: str) -> set[str]:
    """All that a file imports, wherever in it: modules of ours by their whole names."""
    found: set[str] = set()
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            parts = {f"{source}.{alias.name}" for alias in node.names}
            found |= {part if part in FILES else source for part in parts}
    return found


IMPORTS = {module: imports(module) for module in FILES}
OURS = {module: {other for other in IMPORTS[module] if other in FILES} for module in FILES}


def room(module: str) -> str:
    """The part of the package that a module is of; inside of sweep, the part of that."""
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[:1] == ["sweep"] else 1])


@pytest.mark.parametrize("module", FILES)
def test_an_import_points_down(module: str) -> None:
    here = room(module)
    assert here in MAY_IMPORT, f"{module}: say in MAY_IMPORT what the room {here!r} may import"
    upward = {
        other
        for other in OURS[module]
        if room(other) not in {here, *MAY_IMPORT[here]} and (module, other) not in EXCEPTIONS
    }
    assert not upward


@pytest.mark.parametrize(("module", "other"), sorted(EXCEPTIONS))
def test_an_exception_is_still_one(module: str, other: str) -> None:
    """Once the import is gone, its exception goes too."""
    assert other in OURS[module]
    assert room(other) not in MAY_IMPORT[room(module)]


def test_there_is_no_circle_of_files() -> None:
    try:
        order = list(TopologicalSorter(OURS).static_order())
    except CycleError as error:
        pytest.fail(f"these files import each other: {' -> '.join(error.args[1])}")
    assert set(order) == set(FILES)


@pytest.mark.parametrize("library", HOMES)
def test_a_library_has_its_home(library: str) -> None:
    users = {
        module.split(".")[1]
        for module in FILES
        if any(name.split(".")[0] == library for name in IMPORTS[module])
    }
    assert users
    assert users <= HOMES[library]


@pytest.mark.parametrize("module", ["noisetune.pipeline", "noisetune.cli"])
def test_importing_it_loads_neither_ray_nor_optuna_nor_mlflow(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "noisetune" in loaded
    assert loaded & HOMES.keys() == set()
