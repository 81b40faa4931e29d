"""`noisetune clean`: label errors in one's own images."""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from noisetune.cli import completion
from noisetune.cli.common import MlrunsOption, ShareOption, StoreOption, console, examples
from noisetune.cli.volume import QuietOption, VerboseOption, set_volume
from noisetune.errors import UserError, machine_errors
from noisetune.sweep.home import DEFAULT_MLRUNS

if TYPE_CHECKING:
    from noisetune.clean.findings import Findings
    from noisetune.clean.preset import Plan
    from noisetune.clean.run import Prepared
    from noisetune.records import Event

BAR = 30
SHORTEST_MINUTES = 0.1


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune clean photos",
            "noisetune clean photos --minutes 60 --out photos-looked-at",
            "noisetune clean photos --apply reviewed.csv --write photos-cleaned",
        )
    )(clean)


def clean(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder of class folders, a folder with a CSV of path and label (or the CSV), "
            "an .npz archive, or a saved data set of Hugging Face. It is only read.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; by default NAME-clean, here.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="The time that there is, in minutes; more finds more.")
    ] = 10.0,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A trial's configuration (YAML) in place of the preset, such as a sweep's best.",
            autocompletion=completion.yaml_files,
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="How often the folds are cut anew, on a fresh seed.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=8, max=4096, help="Pixels to bring images to; by default 32 or 64."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write a cleaned list there, and of class folders a tree of links."),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(help="issues.csv with a person's decisions, for --write: computes nothing."),
    ] = None,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    store: StoreOption = None,
    share: ShareOption = True,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Rank the labels of images by how likely they are wrong, and write a page of them.

    Nobody has to have checked a label. Ctrl-C stops; the same command goes on.
    """
    silent = set_volume(quiet, verbose) == "quiet"
    if apply is not None:
        _apply(data, apply, write)
        return
    if not minutes >= SHORTEST_MINUTES or minutes == float("inf"):
        raise UserError(f"--minutes: {minutes}: give {SHORTEST_MINUTES} or more")
    from noisetune.clean.decisions import check_target
    from noisetune.clean.run import Asked, compute, prepare, write_findings
    from noisetune.store import NullStore, open_answering
    from noisetune.sweep.home import Site
    from noisetune.yaml_files import read_trial_yaml

    if write is not None:
        check_target(write, data)
    site = Site.of(mlruns, store, share)
    raw = None if config is None else read_trial_yaml(config)
    folder = out or Path(f"{data.resolve().with_suffix('').name}-clean")
    square = None if size is None else (size, size)
    asked = Asked(folder, minutes, raw, str(config), rounds, square)
    say = (lambda text: None) if silent else _say
    with machine_errors():
        prepared = prepare(data, asked, say)
        for line in _described(prepared):
            say(line)
        stages = site.stages
        opened = NullStore() if stages is None else open_answering(stages, site.stages_option)
        found = _watched(compute(prepared, opened), prepared.plan, silent)
        write_findings(folder, found)
    _conclude(found, folder, say)
    if write is not None:
        _write(write, found)


def _apply(data: Path, apply: Path, write: Path | None) -> None:
    from noisetune.clean.decisions import reviewed, write_cleaned
    from noisetune.clean.reading import read_source

    if write is None:
        raise UserError("--apply: says what becomes of the labels; give --write DIR, too")
    source = read_source(data)
    changes = write_cleaned(write, source, reviewed(apply, source))
    _say(f"{write}: {changes}")


def _write(write: Path, found: "Findings") -> None:
    from noisetune.clean.decisions import proposed, write_cleaned

    changes = write_cleaned(write, found.pictures.source, proposed(found))
    _say(f"{write}: {changes}")


def _described(prepared: "Prepared") -> list[str]:
    """The plan in words, before it starts."""
    plan, config = prepared.plan, prepared.plan.config
    epochs = getattr(config.pretrain, "epochs", None)
    width = getattr(config.model, "width", None)
    model = config.model.name + (f" of width {width}" if width else "")
    before = f"{model}, {config.pretrain.method}" + (f", {epochs} epochs" if epochs else "")
    if plan.patches:
        before = f"features of {plan.patches} patches"
    times = f", {plan.rounds} times" if plan.rounds > 1 else ""
    left_out = len(prepared.pictures.source.left_out)
    return [
        *([f"files that are no images, or cannot be read: {left_out}"] if left_out else []),
        f"plan: {before}; then {config.finetune.train} for {config.finetune.epochs} "
        f"epochs over {config.detect.folds} folds{times}",
        f"it will take about {_time(plan.total)}" + ("; going on" if prepared.begun else ""),
    ]


def _watched(events: "Generator[Event, None, Findings]", plan: "Plan", silent: bool) -> "Findings":
    """Pull a computation to its end, under a bar with the time that is left."""
    from noisetune.clean.pace import Pace

    bar = Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(BAR),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        disable=silent,
    )
    pace = Pace(plan.seconds, plan.rounds, getattr(plan.config.pretrain, "epochs", 1))
    with bar:
        task = bar.add_task("", total=1.0, left="")
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            pace.heard(event)
            left = "" if pace.left is None else f"about {_time(pace.left)} left"
            bar.update(task, completed=pace.done, description=event.stage, left=left)


def _conclude(found: "Findings", folder: Path, say: Any) -> None:
    from noisetune.clean.findings import statements
    from noisetune.clean.folder import PAGE

    for line in statements(found):
        say(line)
    _say(f"written: {folder / PAGE}, and beside it issues.csv, noise.json, config.yaml")


def _say(text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
