"""What is needed to repeat it: versions, commit, seeds, hardware, commands."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.table import Table

from noisetune.analysis.tables import plain_table
from noisetune.report.contents import Section
from noisetune.report.view import SweepView
from noisetune.texts import counted

NAMES = {
    "command": "command",
    "noisetune": "noisetune",
    "commit": "git commit",
    "python": "Python",
    "versions": "packages",
    "system": "system",
    "processor": "processor",
    "cpus": "CPUs",
    "memory": "memory",
    "gpus": "GPUs",
}


def repeat(view: SweepView) -> Section | None:
    """Always there where the sweep's definition is."""
    tables = {"drives": _drives(view.drives)} if view.drives else {}
    listings = [("the sweep and its search space", _yaml(view.definition))]
    if view.commands:
        listings.insert(0, ("commands", "\n".join(view.commands)))
    if not view.definition and not tables:
        return None
    return Section("To repeat it", _seeds(view), (), tables, listings)


def _yaml(definition: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(definition), sort_keys=False, allow_unicode=True)


def _seeds(view: SweepView) -> list[str]:
    seeds = sorted({each.seed for each in view.records if each.seed})
    sampler = dict(view.definition.get("sweep", {}).get("sampler", {}))
    words = [f"the sampler has seed {sampler.get('seed', 0)}"]
    if any(not each.seed for each in view.records):
        words.append("search trials have seed 0")
    if seeds:
        searches = any(each.seed and each.kind == "search" for each in view.records)
        words.append(f"{'searches' if searches else 'replicates'} have {_range(seeds)}")
    text = ", ".join(words)
    return [f"{text[:1].upper()}{text[1:]}."]


def _range(seeds: Sequence[int]) -> str:
    if seeds == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2:
        return f"the seeds {seeds[0]} to {seeds[-1]}"
    return f"the seeds {', '.join(map(str, seeds))}"


def _drives(drives: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each that differs, and how often a sweep was driven so."""
    table = plain_table(f"where it was driven: {counted(len(drives), 'time')}")
    told: dict[str, list[Mapping[str, Any]]] = {}
    for drive in drives:
        told.setdefault(repr(sorted(drive.items())), []).append(drive)
    for heading in ("", *(f"drive {number}" for number in range(1, len(told) + 1))):
        table.add_column(heading)
    for key, name in NAMES.items():
        values = [_shown(members[0].get(key)) for members in told.values()]
        if any(values):
            table.add_row(name, *values)
    return table


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name} {version}" for name, version in value.items())
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return "" if value is None else str(value)
