"""`noisetune best`: the winners of a sweep, to look at, to run again, to read by a program."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from noisetune.cli.common import (
    CsvCommand,
    CsvOption,
    LatexOption,
    LedgerOption,
    MarkdownOption,
    MlrunsOption,
    NameArgument,
    console,
    examples,
    open_home,
    same_place,
)
from noisetune.cli.results import Form, front_shown
from noisetune.files import make_folder, written
from noisetune.sweep.home import DEFAULT_MLRUNS
from noisetune.texts import counted, factors_text

if TYPE_CHECKING:
    from noisetune.analysis.summaries import ConditionSummary, GroupBest
    from noisetune.records import TrialRecord
    from noisetune.sweep.overview import Overview
    from noisetune.sweep.resolution import SelectingLabels
    from noisetune.sweep.winners import AnySweep


def register(app: typer.Typer) -> None:
    app.command(
        cls=CsvCommand,
        epilog=examples(
            "noisetune best quickstart",
            "noisetune best quickstart --export best",
            "noisetune best quickstart --json",
        ),
    )(best)


def best(
    name: NameArgument,
    export: Annotated[
        Path | None, typer.Option(help="Write each winner as a YAML that `noisetune run` repeats.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
    markdown: MarkdownOption = False,
    latex: LatexOption = False,
    csv: CsvOption = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    ledger: LedgerOption = None,
) -> None:
    """List the winner of every condition, and the best method for each data set and noise.

    There is no winner across noise rates: it would be the lowest rate.
    """
    from noisetune.analysis.shared_tables import shared_table
    from noisetune.analysis.summaries import best_of_groups, score_resolution, summarise
    from noisetune.analysis.tables import conditions_table
    from noisetune.sweep.overview import stand
    from noisetune.sweep.spec.config import NO_RESULTS
    from noisetune.sweep.study.comparing import question_of
    from noisetune.sweep.study.recorded import recorded_sweep, standing_records
    from noisetune.sweep.winners import shared_choice

    form, home = Form.of(markdown, latex, csv), open_home(mlruns, ledger)
    prepared, opened = recorded_sweep(home, name)
    objective, records = prepared.config.objective, standing_records(home, opened, prepared.cells)
    standing = stand(home, prepared, opened)
    if prepared.config.smoke and not as_json:
        form.note(NO_RESULTS)
    files = _export(prepared, records, export) if export else {}
    if not records and not as_json:
        return form.note("no trial has started yet")
    if standing.state != "finished" and not as_json:
        form.note(_so_far(standing, records))
    if objective.several:
        same = same_place(home)
        return _show_front(prepared, records, files, None if as_json else form, same, standing)
    summaries = summarise(records, objective.maximize)
    labels = _selecting_labels(prepared, summaries)
    errors = {
        each.name: score_resolution(each, labels[each.name].count) if each.name in labels else 0.0
        for each in summaries
    }
    groups = best_of_groups(summaries, objective.maximize, errors)
    if as_json:
        found = _as_json(prepared, summaries, groups, labels, files)
        print(json.dumps(found | _standing(standing), indent=1))
        return
    adaptive = prepared.config.growing is not None
    winners = conditions_table(summaries, objective.metric, objective.oracle, adaptive)
    best = [_groups_table(summaries, groups, labels, objective.metric)] if groups else []
    shared = []
    if (both := shared_choice(prepared, records)) is not None:
        question = question_of(opened, prepared.config, prepared.cells)
        shared.append(shared_table(both, question))
    form.show([winners, *shared, *best])
    _show_files(files, form)


def _so_far(stand: "Overview", records: "list[TrialRecord]") -> str:
    """What a sweep that has not ended has to choose from."""
    counts = Counter(each.state for each in records)
    states = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none begun"
    size = "" if stand.size is None else f" (of {counted(stand.size, 'trial')})"
    chosen = "chosen from what is complete so far" if counts["complete"] else "none is complete yet"
    return f"sweep {stand.name} is {stand.state}: {states}{size}; {chosen}"


def _standing(stand: "Overview") -> dict[str, Any]:
    return {"state": stand.state, "ended": stand.ended, "size": stand.size}


def _show_files(files: dict[str, Path], form: Form) -> None:
    for file in files.values() if form == Form() else ():
        console.print(f"noisetune run {file}", highlight=False, soft_wrap=True)


def _show_front(
    prepared: "AnySweep",
    records: "list[TrialRecord]",
    files: dict[str, Path],
    form: Form | None,
    same: str,
    stand: "Overview",
) -> None:
    """With several goals nothing wins: what no other trial beats, for the user to choose from.

    Without a `form` it is JSON.
    """
    from noisetune.sweep.winners import front_of

    name, front = prepared.config.name, front_of(prepared, records)
    if form is None:
        shown = [
            asdict(point.trial)
            | {"replicates": point.replicates, "file": _file(files, point.trial)}
            for point in front
        ]
        objective = prepared.config.objective.model_dump()
        found = {"sweep": name, "objective": objective, "front": shown}
        print(json.dumps(found | _standing(stand), indent=1))
        return
    if front:
        form.show([front_shown(prepared, front)])
    _show_files(files, form)
    if form == Form() and front and not any(point.replicates["last"] for point in front):
        console.print(
            f"run one again on fresh seeds: noisetune resume {name} "
            f"--replicate '{front[0].trial.name}'{same}",
            highlight=False,
            soft_wrap=True,
        )


def _selecting_labels(
    prepared: "AnySweep", summaries: "list[ConditionSummary]"
) -> "dict[str, SelectingLabels]":
    """The noisy labels that each condition was judged by; of none by another objective."""
    from noisetune.config import TrialConfig
    from noisetune.datasets import Datasets
    from noisetune.sweep.resolution import METRIC, selecting_labels

    if prepared.config.objective.metric != METRIC:
        return {}
    labels, datasets = {}, Datasets(fetch=False)
    for summary in summaries:
        if summary.winner is not None:
            config = TrialConfig.parse(summary.winner.config, "ledger")
            labels[summary.name] = selecting_labels(config, datasets.load(config.data))
    return labels


def _clean_resolution(
    group: "GroupBest", labels: "Mapping[str, SelectingLabels]"
) -> "float | None":
    """The error of the best one's score in units of clean accuracy; None where there is none."""
    from noisetune.analysis.summaries import score_resolution
    from noisetune.sweep.resolution import finite

    if group.best.name not in labels:
        return None
    mine = labels[group.best.name]
    return finite(score_resolution(group.best, mine.count, mine.slope))


def _export(prepared: "AnySweep", records: "list[TrialRecord]", folder: Path) -> dict[str, Path]:
    """Write what was chosen as files, by the names of their trials."""
    from noisetune.sweep.winners import chosen_trials
    from noisetune.yaml_files import write_yaml

    make_folder(folder, "--export")
    objective, files = prepared.config.objective, {}
    for stem, trial in chosen_trials(prepared, records).items():
        file = folder / f"{stem}.yaml"
        values = ", ".join(f"{value:g}" for value in trial.objectives)
        header = (
            f"Sweep {prepared.config.name}, chosen in condition {trial.condition}:\n"
            f"{trial.name}, {objective.metrics} {values}.\n"
            f"Repeat it with: noisetune run {file}"
        )
        with written(file, "--export"):
            write_yaml(file, trial.config, header)
        files[trial.name] = file
    return files


def _file(files: dict[str, Path], trial: "TrialRecord") -> str | None:
    return str(files[trial.name]) if trial.name in files else None


def _groups_table(
    summaries: list["ConditionSummary"],
    groups: list["GroupBest"],
    labels: "Mapping[str, SelectingLabels]",
    metric: str,
) -> Table:
    from noisetune.analysis.tables import (
        accuracy_cell,
        captioned,
        plain_table,
        points_text,
    )

    table = plain_table(f"best of each data set and noise, by {metric} (mean over replicates)")
    notes = ["tied: a test at 5 % over all pairs of replicates does not tell them apart"]
    if labels:
        notes.append("resolution: binomial error of the noisy score, in points of clean accuracy")
    table.caption = captioned(notes, [group.best for group in groups])
    for heading in ("data and noise", "best", "tied with"):
        table.add_column(heading)
    table.add_column(metric, justify="right")
    if labels:
        table.add_column("resolution", justify="right")
    table.add_column("clean test %", justify="right", no_wrap=True)
    factors = {summary.name: summary.factors for summary in summaries}
    for group in groups:
        ties = "\n".join(_rest(factors[name], group.group) for name in group.ties)
        best = _rest(group.best.factors, group.group)
        cells = [factors_text(group.group), best, ties or "-", f"{group.score:.4f}"]
        cells += [points_text(_clean_resolution(group, labels))] if labels else []
        table.add_row(*cells, accuracy_cell(group.best, "noisy_best"))
    return table


def _rest(factors: dict[str, Any], group: dict[str, Any]) -> str:
    """What tells a condition from the others of its group."""
    return factors_text({key: value for key, value in factors.items() if key not in group})


def _as_json(
    prepared: "AnySweep",
    summaries: list["ConditionSummary"],
    groups: list["GroupBest"],
    labels: "Mapping[str, SelectingLabels]",
    files: dict[str, Path],
) -> dict[str, Any]:
    objective = prepared.config.objective
    from noisetune.analysis.metric_tables import metric_intervals, metrics_of

    winners = [
        {
            "condition": each.name,
            "factors": each.factors,
            "trial": each.winner.name,
            "objective": each.winner.objective,
            "parameters": each.winner.parameters,
            "metrics": each.winner.metrics,
            "replicates": each.replicates,
            "detection": {
                metric: asdict(interval)
                for metric, interval in metric_intervals(each, metrics_of("detection")).items()
            },
            "conditional_on_one_encoder": each.one_encoder,
            "kendall_tau": each.tau,
            "config": each.winner.config,
            "file": _file(files, each.winner),
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
            "resolution": _clean_resolution(group, labels),
        }
        for group in groups
    ]
    return {
        "sweep": prepared.config.name,
        "objective": objective.model_dump(),
        "winners": winners,
        "groups": best_conditions,
    }
