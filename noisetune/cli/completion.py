"""What a shell offers after Tab: the sweeps that there are, and YAML files."""

from pathlib import Path

from typer import Context

from noisetune.sweep.home import DEFAULT_MLRUNS, Home

YAML = (".yaml", ".yml")


def sweeps(context: Context, incomplete: str) -> list[str]:
    """Names of the sweeps in the mlruns folder."""
    names = Home(Path(context.params.get("mlruns") or DEFAULT_MLRUNS)).names()
    return [name for name in names if name.startswith(incomplete)]


def yaml_files(incomplete: str) -> list[str]:
    """YAML files, and the folders on the way to one."""
    folder, _, begun = incomplete.rpartition("/")
    place = Path(folder or ("/" if incomplete.startswith("/") else "."))
    if not place.is_dir():
        return []
    before = incomplete.removesuffix(begun)
    entries = [entry for entry in sorted(place.iterdir()) if entry.name.startswith(begun)]
    folders = [f"{before}{entry.name}/" for entry in entries if entry.is_dir()]
    return [f"{before}{entry.name}" for entry in entries if entry.suffix in YAML] + folders
