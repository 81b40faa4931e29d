"""`noisetune best`: the winners of a sweep, to look at, to run again, to read by a program."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from noisetune.cli.common import DEFAULT_MLRUNS, MlrunsOption, console, open_home

if TYPE_CHECKING:
    from noisetune.analysis.tables import ConditionSummary, GroupBest
    from noisetune.sweep.prepared import Sweep


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `noisetune best quickstart`, `noisetune best quickstart --export best`, "
        "`noisetune best quickstart --json`"
    )(best)


def best(
    name: Annotated[str, typer.Argument(help="The sweep's name.")],
    export: Annotated[
        Path | None, typer.Option(help="Write each winner as a YAML that `noisetune run` repeats.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """List the winner of every condition, and the best method for each data set and noise.

    There is no winner across noise rates: it would be the lowest rate.
    """
    from noisetune.analysis.tables import best_of_groups, conditions_table, summarise
    from noisetune.sweep.prepared import open_sweep

    prepared, ledger = open_sweep(open_home(mlruns), name)
    objective = prepared.config.objective
    summaries = summarise(prepared.records(ledger), objective.maximize)
    resolution = {each.name: _resolution(prepared, each) for each in summaries}
    groups = best_of_groups(summaries, objective.maximize, resolution)
    files = _export(prepared, summaries, export) if export else {}
    if as_json:
        print(json.dumps(_as_json(prepared, summaries, groups, files), indent=1))
        return
    console.print(conditions_table(summaries, objective.metric, objective.oracle))
    console.print(_groups_table(summaries, groups, objective.metric))
    for file in files.values():
        console.print(f"noisetune run {file}", highlight=False, soft_wrap=True)


def _resolution(prepared: "Sweep", summary: "ConditionSummary") -> float:
    from noisetune.analysis.tables import noisy_resolution
    from noisetune.config import TrialConfig
    from noisetune.stages.labels import draw_labels

    if summary.winner is None or prepared.config.objective.metric != "val/accuracy":
        return 0.0
    config = TrialConfig.parse(summary.winner.config, "ledger")
    return noisy_resolution(summary, len(draw_labels(config, config.data.load()).selected.rows))


def _export(
    prepared: "Sweep", summaries: list["ConditionSummary"], folder: Path
) -> dict[str, Path]:
    from noisetune.yaml_files import write_yaml

    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for condition in prepared.conditions:
        winner = next((each.winner for each in summaries if each.name == condition.name), None)
        if winner is not None:
            file = folder / f"{condition.file_name}.yaml"
            header = (
                f"The winner of sweep {prepared.config.name}, condition {condition.name}:\n"
                f"{winner.name}, {prepared.config.objective.metric} {winner.objective}.\n"
                f"Repeat it with: noisetune run {file}"
            )
            write_yaml(file, winner.config, header)
            files[condition.name] = file
    return files


def _groups_table(
    summaries: list["ConditionSummary"], groups: list["GroupBest"], metric: str
) -> Table:
    from noisetune.analysis.tables import accuracy_cell, plain_table

    table = plain_table(f"best of each data set and noise, by {metric} (mean over replicates)")
    table.caption = "tied: within one standard error of the noisy score"
    for heading in ("data and noise", "best", "tied with"):
        table.add_column(heading, overflow="fold")
    table.add_column(metric, justify="right")
    table.add_column("clean test %", justify="right", no_wrap=True)
    factors = {summary.name: summary.factors for summary in summaries}
    for group in groups:
        where = _words(group.group) or "all"
        clean = accuracy_cell(group.best, "noisy_best")
        ties = "\n".join(_rest(factors[name], group.group) for name in group.ties)
        best = _rest(group.best.factors, group.group)
        table.add_row(where, best, ties or "-", f"{group.score:.4f}", clean)
    return table


def _words(factors: dict[str, Any]) -> str:
    return " ".join(f"{field}={value}" for field, value in factors.items())


def _rest(factors: dict[str, Any], group: dict[str, Any]) -> str:
    """What tells a condition from the others of its group."""
    return _words({key: value for key, value in factors.items() if key not in group}) or "all"


def _as_json(
    prepared: "Sweep",
    summaries: list["ConditionSummary"],
    groups: list["GroupBest"],
    files: dict[str, Path],
) -> dict[str, Any]:
    objective = prepared.config.objective
    winners = [
        {
            "condition": each.name,
            "factors": each.factors,
            "trial": each.winner.name,
            "objective": each.winner.objective,
            "parameters": each.winner.parameters,
            "metrics": each.winner.metrics,
            "replicates": each.replicates,
            "config": each.winner.config,
            "file": str(files[each.name]) if each.name in files else None,
        }
        for each in summaries
        if each.winner is not None
    ]
    best_conditions = [
        {
            "group": group.group,
            "best": group.best.name,
            "objective": group.score,
            "tied": group.ties,
        }
        for group in groups
    ]
    return {
        "sweep": prepared.config.name,
        "objective": objective.model_dump(),
        "winners": winners,
        "groups": best_conditions,
    }
