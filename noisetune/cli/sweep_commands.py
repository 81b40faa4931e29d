"""`noisetune sweep`, `resume` and `status`."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noisetune.cli.common import (
    DEFAULT_MLRUNS,
    AddressOption,
    MlrunsOption,
    SetOption,
    ShareOption,
    SmokeOption,
    StoreOption,
    TrackingOption,
    console,
    known_store,
    open_home,
    same_place,
    stages_of,
)
from noisetune.cli.results import Epoch, Wanted, show_results

if TYPE_CHECKING:
    from noisetune.store import Lease
    from noisetune.sweep.home import Home
    from noisetune.sweep.spec.sweep import Sweep
    from noisetune.sweep.study.ledger import Ledger
    from noisetune.sweep.study.scheduler import Scheduler
    from noisetune.tracking.tracker import Tracker

INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `noisetune sweep sweeps/quickstart.yaml`, "
        "`noisetune sweep sweeps/quickstart.yaml --name second-try`, "
        "`noisetune sweep sweeps/budget_matched.yaml --smoke`"
    )(sweep)
    app.command(
        epilog="Examples: `noisetune resume quickstart`, "
        "`noisetune resume quickstart --set trials_per_condition=12`, "
        "`noisetune resume traded --replicate 'noise.rate=0.6 trial 3'`"
    )(resume)
    app.command(
        epilog="Examples: `noisetune status quickstart`, "
        "`noisetune status quickstart --detection --overfitting`, "
        "`noisetune status quickstart --epoch all --markdown`"
    )(status)


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep (YAML), as those in sweeps/.")],
    name: Annotated[str | None, typer.Option(help="Another name than the file gives.")] = None,
    settings: SetOption = None,
    smoke: SmokeOption = False,
    again: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep of this name, if there is one.")
    ] = False,
    address: AddressOption = None,
    store: StoreOption = None,
    share: ShareOption = True,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    tracking_uri: TrackingOption = None,
) -> None:
    """Run a sweep: Optuna samples and prunes, Ray runs the trials, MLflow keeps them."""
    from noisetune.sweep.preflight import prepare_file
    from noisetune.sweep.resources.capacity import check_fits, local_resources
    from noisetune.sweep.spec.sweep import naming
    from noisetune.sweep.study.storage import refuse_taken

    home = open_home(mlruns)
    stages = stages_of(home, store, share)
    small = _in_small(home) if smoke else None
    prepared = prepare_file(file, name, settings or (), known_store(stages), small)
    with naming(str(file)):
        if not again:
            refuse_taken(home, prepared.config.name)
        if address is None:
            check_fits(prepared.config.resources, local_resources(), "this machine")
    _go(prepared, home, tracking_uri, address, stages)


def resume(
    name: Annotated[str, typer.Argument(help="The sweep's name.")],
    settings: SetOption = None,
    replicate: Annotated[
        list[str] | None,
        typer.Option(help="A trial of the Pareto front to run again, by the name `best` shows."),
    ] = None,
    address: AddressOption = None,
    store: StoreOption = None,
    share: ShareOption = True,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    tracking_uri: TrackingOption = None,
) -> None:
    """Go on with a sweep that was stopped or is to grow: nothing that ended runs again.

    With `--set` it grows: trials_per_condition, replicates, budget, resources, patience.
    """
    from noisetune.sweep.preflight import preflight
    from noisetune.sweep.study.resume_rules import replicating
    from noisetune.sweep.study.storage import open_sweep

    home = open_home(mlruns)
    prepared, ledger = open_sweep(home, name, settings or ())
    if replicate:
        prepared = replicating(prepared, ledger, replicate)
    stages = stages_of(home, store, share)
    preflight(prepared, known_store(stages))
    _go(prepared, home, tracking_uri, address, stages)


def status(
    name: Annotated[str, typer.Argument(help="The sweep's name.")],
    epoch: Annotated[
        Epoch, typer.Option(help="Compare conditions at this choice of epoch, or at `all` three.")
    ] = "noisy_best",
    detection: Annotated[
        bool, typer.Option("--detection", help="How well label errors are found, too.")
    ] = False,
    overfitting: Annotated[
        bool, typer.Option("--overfitting", help="What the curves say of overfitting, too.")
    ] = False,
    telemetry: Annotated[
        bool, typer.Option("--telemetry", help="What was seen of the encoders, too.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as GitHub markdown.")
    ] = False,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
) -> None:
    """Show where a sweep stands."""
    from noisetune.sweep.study.storage import open_sweep

    home = open_home(mlruns)
    prepared, ledger = open_sweep(home, name)
    asked = {"detection": detection, "overfitting": overfitting, "telemetry": telemetry}
    groups = tuple(group for group, wanted in asked.items() if wanted)
    show_results(prepared, ledger, Wanted(epoch, groups, markdown))


@dataclass(frozen=True)
class _Same:
    """The options that a suggested command repeats: where sweeps are, and how this one runs."""

    home: str
    run: str

    @classmethod
    def options(
        cls, home: "Home", tracking_uri: str | None, address: str | None, stages: str | None
    ) -> "_Same":
        given = {
            "--tracking-uri": tracking_uri,
            "--address": address,
            "--store": None if stages == stages_of(home, None, True) else stages,
        }
        words = [f" {name} {shlex.quote(value)}" for name, value in given.items() if value]
        return cls(same_place(home), "".join(words) + ("" if stages else " --no-share"))


def _in_small(home: "Home") -> "Callable[[Sweep], Sweep]":
    """Makes a smoke run of a sweep, and says what is made up for it."""
    from noisetune.sweep.spec.substitutes import in_small

    folder = (home.root / "smoke").resolve()
    return partial(in_small, folder=folder, say=partial(console.print, soft_wrap=True))


def _go(
    prepared: "Sweep",
    home: "Home",
    tracking_uri: str | None,
    address: str | None,
    stages: str | None,
) -> None:
    """Run what is left of a sweep with Ray, tracker and live table; then say what came of it."""
    from noisetune.errors import UserError
    from noisetune.sweep import show_token
    from noisetune.sweep.study.lease import claim_sweep

    if address is not None:
        show_token()
    from noisetune.sweep.execution.launch import ray_session
    from noisetune.sweep.study.storage import check_warm_start, drive_ledger
    from noisetune.tracking.tracker import check_tracking

    config = prepared.config
    check_warm_start(home, config)
    uri = tracking_uri or home.tracking_uri
    artifacts = None if uri.startswith("http") else home.artifacts
    with claim_sweep(home, config.name) as lease:
        check_tracking(uri, config.name, artifacts)
        console.print(f"starting Ray {f'at {address}' if address else 'on this machine'} ...")
        with ray_session(config.resources, address, stages):
            prepared = _settled(prepared)
            ledger = drive_ledger(home, prepared, lease)
            tracker = _tracker(prepared, ledger, home, uri, artifacts, lease)
            scheduler = _run(prepared, ledger, home, tracker, stages)
        if scheduler.superseded:
            tracker.abandon()
            raise UserError(f"sweep {config.name!r}: {scheduler.stopped}; this one has ended")
        _close(prepared, ledger, scheduler, tracker)
    show_results(prepared, ledger)
    same = _Same.options(home, tracking_uri, address, stages)
    _next_commands(config.name, scheduler, same)
    if not scheduler.finished and scheduler.stopped is None:
        raise typer.Exit(INTERRUPTED)


def _settled(prepared: "Sweep") -> "Sweep":
    """The sweep with its resources measured where they are `auto`, and said."""
    from noisetune.sweep.resources.auto_share import settle

    settled = settle(prepared)
    if settled is not prepared:
        share = settled.config.resources
        console.print(f"resources: cpu {share.cpu:g}, gpu {share.gpu:g} (measured)")
    return settled


def _tracker(
    prepared: "Sweep",
    ledger: "Ledger",
    home: "Home",
    uri: str,
    artifacts: Path | None,
    lease: "Lease",
) -> "Tracker":
    """A tracker that has caught up with the ledger."""
    from noisetune.records import flatten
    from noisetune.tracking.tracker import open_tracker

    name = prepared.config.name
    outbox = home.sweep(name) / "outbox.jsonl"
    tracker = open_tracker(
        uri, name, outbox, artifacts, mine=lambda: lease.alive, identity=ledger.identity
    )
    tracker.sweep("running", flatten(prepared.definition()))
    tracker.catch_up(ledger.records(prepared.cells))
    return tracker


def _close(prepared: "Sweep", ledger: "Ledger", scheduler: "Scheduler", tracker: "Tracker") -> None:
    """Say the last words to MLflow, and wait until it has them."""
    for job in scheduler.left:
        tracker.interrupted(job.record())
    if scheduler.finished:
        _publish_best(prepared, ledger, tracker)
    tracker.sweep("complete" if scheduler.finished else "interrupted", {})
    if not tracker.close():
        console.print(
            f"MLflow did not take everything: {tracker.left} messages wait in "
            f"{tracker.outbox.path}; `noisetune resume {prepared.config.name}` delivers them",
            soft_wrap=True,
        )


def _run(
    prepared: "Sweep", ledger: "Ledger", home: "Home", tracker: "Tracker", stages: str | None
) -> "Scheduler":
    from noisetune.cli.live import LiveTable
    from noisetune.sweep.execution.launch import run_trials
    from noisetune.sweep.study.searcher import Searcher

    config = prepared.config
    states = Searcher(config, prepared.conditions, ledger).states
    totals = {state.condition.name: state.size for state in states}
    objective = config.objective
    table = LiveTable(console, list(totals), totals, objective.metric, objective.maximize)
    table.count(ledger.records(prepared.cells))
    with table:
        return run_trials(prepared, ledger, home, [tracker, table], store=stages)


def _publish_best(prepared: "Sweep", ledger: "Ledger", tracker: "Tracker") -> None:
    """The winners in MLflow: a tag on their runs, their configurations on the sweep's run."""
    import yaml

    from noisetune.cli.winners import chosen_trials

    for file, trial in chosen_trials(prepared, ledger.records(prepared.cells)).items():
        tracker.tags(trial.name, {"noisetune.best": trial.condition})
        tracker.artifact(f"best/{file}.yaml", yaml.safe_dump(trial.config, sort_keys=False))


def _next_commands(name: str, scheduler: "Scheduler", same: _Same) -> None:
    """What to type next."""
    if scheduler.finished:
        export = f"noisetune best {name} --export best/{name}{same.home}"
        look = f"noisetune ui{same.home}"
        lines = {export: "what was chosen, as files to run", look: "compare the runs"}
        console.print("next:")
    else:
        why = f" ({scheduler.stopped})" if scheduler.stopped else ""
        begun = len(scheduler.left)
        rest = max(0, scheduler.searcher.unfinished - begun)
        console.print(f"stopped{why}: {begun} trials were interrupted, {rest} had not begun.")
        console.print("Go on with:")
        meaning = "with --set for a larger budget" if scheduler.stopped else ""
        lines = {f"noisetune resume {name}{same.home}{same.run}": meaning}
    for command, meaning in lines.items():
        console.print(f"  {command:<60}  {meaning}".rstrip(), highlight=False, soft_wrap=True)
