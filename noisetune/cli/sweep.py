"""`noisetune sweep`, `resume` and `status`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noisetune.cli.common import (
    DEFAULT_MLRUNS,
    AddressOption,
    MlrunsOption,
    SetOption,
    ShareOption,
    StoreOption,
    TrackingOption,
    console,
    open_home,
    stages_of,
)

if TYPE_CHECKING:
    from noisetune.sweep.board import Board
    from noisetune.sweep.home import Home
    from noisetune.sweep.ledger import Ledger
    from noisetune.sweep.prepared import Sweep
    from noisetune.tracking.tracker import Tracker


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `noisetune sweep sweeps/quickstart.yaml`, "
        "`noisetune sweep sweeps/quickstart.yaml --name second-try`"
    )(sweep)
    app.command(epilog="Example: `noisetune resume quickstart`")(resume)
    app.command(epilog="Example: `noisetune status quickstart`")(status)


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep (YAML), as those in sweeps/.")],
    name: Annotated[str | None, typer.Option(help="Another name than the file gives.")] = None,
    settings: SetOption = None,
    address: AddressOption = None,
    store: StoreOption = None,
    share: ShareOption = True,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    tracking_uri: TrackingOption = None,
) -> None:
    """Run a sweep: Optuna samples and prunes, Ray runs the trials, MLflow keeps them."""
    from noisetune.sweep.capacity import check_fits, local_resources
    from noisetune.sweep.prepared import create_ledger, load_sweep, naming

    home = open_home(mlruns)
    prepared = load_sweep(file, name, settings or (), home)
    if address is None:
        with naming(str(file)):
            check_fits(prepared.config.resources, local_resources(), "this machine")
    _go(
        prepared,
        lambda: create_ledger(home, prepared),
        home,
        tracking_uri,
        address,
        stages_of(home, store, share),
    )


def resume(
    name: Annotated[str, typer.Argument(help="The sweep's name.")],
    address: AddressOption = None,
    store: StoreOption = None,
    share: ShareOption = True,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    tracking_uri: TrackingOption = None,
) -> None:
    """Go on with a sweep that was stopped: nothing that ended runs again."""
    from noisetune.sweep.prepared import open_sweep, preflight

    home = open_home(mlruns)
    prepared, ledger = open_sweep(home, name)
    preflight(prepared)
    _go(prepared, lambda: ledger, home, tracking_uri, address, stages_of(home, store, share))


def status(
    name: Annotated[str, typer.Argument(help="The sweep's name.")],
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Show where a sweep stands."""
    from noisetune.sweep.prepared import open_sweep

    home = open_home(mlruns)
    prepared, ledger = open_sweep(home, name)
    show_results(prepared, ledger)


def _go(
    prepared: "Sweep",
    open_ledger: Callable[[], "Ledger"],
    home: "Home",
    tracking_uri: str | None,
    address: str | None,
    stages: str | None,
) -> None:
    """Run what is left of a sweep with Ray, tracker and live table; then say what came of it."""
    from noisetune.sweep.launch import ray_session
    from noisetune.tracking.tracker import flatten, open_tracker

    config = prepared.config
    console.print(f"starting Ray {f'at {address}' if address else 'on this machine'} ...")
    with ray_session(config.resources, address):
        ledger = open_ledger()
        uri = tracking_uri or home.tracking_uri
        outbox = home.sweep(config.name) / "outbox.jsonl"
        artifacts = None if uri.startswith("http") else home.artifacts
        tracker = open_tracker(uri, config.name, outbox, artifacts)
        tracker.sweep("running", flatten(prepared.definition()))
        board = _run(prepared, ledger, home, tracker, stages)
    for job in board.running.values():
        tracker.interrupted(job.record())
    if board.finished:
        _publish_best(prepared, ledger, tracker)
    tracker.sweep("complete" if board.finished else "interrupted", {})
    if not tracker.close():
        console.print(f"MLflow did not take everything yet; the rest waits in {outbox}")
    show_results(prepared, ledger)
    _next_commands(config.name, board.finished, len(board.running))


def _run(
    prepared: "Sweep", ledger: "Ledger", home: "Home", tracker: "Tracker", stages: str | None
) -> "Board":
    from noisetune.cli.live import LiveTable
    from noisetune.sweep.asking import Asker
    from noisetune.sweep.launch import run_board

    config = prepared.config
    sizes = Asker(config, prepared.conditions, ledger)
    totals = {each.name: sizes.search_size(each) + config.replicates for each in sizes.conditions}
    table = LiveTable(console, list(totals), totals, config.objective.metric)
    table.count(prepared.records(ledger))
    with table:
        return run_board(prepared, ledger, home, [tracker, table], store=stages)


def _publish_best(prepared: "Sweep", ledger: "Ledger", tracker: "Tracker") -> None:
    """The winners in MLflow: a tag on their runs, their configurations on the sweep's run."""
    import yaml

    from noisetune.analysis.tables import summarise

    records = prepared.records(ledger)
    for summary in summarise(records, prepared.config.objective.maximize):
        if summary.winner is not None:
            tracker.tags(summary.winner.name, {"noisetune.best": summary.name})
            condition = next(each for each in prepared.conditions if each.name == summary.name)
            text = yaml.safe_dump(summary.winner.config, sort_keys=False)
            tracker.artifact(f"best/{condition.file_name}.yaml", text)


def show_results(prepared: "Sweep", ledger: "Ledger") -> None:
    """The table of conditions, and the paired comparisons where there are replicates."""
    from noisetune.analysis.tables import (
        compare,
        comparisons_table,
        conditions_table,
        summarise,
    )

    objective = prepared.config.objective
    summaries = summarise(prepared.records(ledger), objective.maximize)
    if not summaries:
        console.print("no trial has started yet")
        return
    console.print(conditions_table(summaries, objective.metric, objective.oracle))
    comparisons = comparisons_table(summaries, compare(summaries))
    if comparisons.row_count:
        console.print(comparisons)


def _next_commands(name: str, finished: bool, running: int) -> None:
    lines: Sequence[str] = (
        f"noisetune best {name} --export best/{name}   the winners as files to run again",
        "noisetune ui" + " " * (len(name) * 2 + 18) + "   compare the runs in MLflow",
    )
    if not finished:
        console.print(f"stopped; {running} trials had not ended. Go on with:")
        lines = (f"noisetune resume {name}",)
    else:
        console.print("next:")
    for line in lines:
        console.print(f"  {line}", highlight=False, soft_wrap=True)
