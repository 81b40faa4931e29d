"""`noisetune sweep` and `resume`."""

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from noisetune.allowed import needs_leave
from noisetune.cli.common import (
    AddressOption,
    AllowWriteOption,
    LedgerOption,
    MlrunsOption,
    NameArgument,
    RegisterOption,
    SetOption,
    ShareOption,
    SmokeOption,
    StoreOption,
    SweepFile,
    SystemOption,
    TrackingOption,
    console,
    examples,
    read_first,
    same_place,
)
from noisetune.cli.notice import Notice, NotifyOption
from noisetune.cli.results import show_results
from noisetune.cli.volume import QuietOption, VerboseOption, Volume, set_volume
from noisetune.sweep.home import DEFAULT_MLRUNS
from noisetune.texts import counted

if TYPE_CHECKING:
    from noisetune.sweep.home import Home, Site
    from noisetune.sweep.outcome import Outcome
    from noisetune.sweep.spec.sweep import Sweep
    from noisetune.sweep.study.ledger import Ledger
    from noisetune.sweep.study.scheduler import Scheduler
    from noisetune.sweep.study.watcher import Watcher

FAILED = 1
SIGNALLED = 128  # and the signal's number: what a shell says of a command that one ended


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "noisetune sweep sweeps/quickstart.yaml",
            "noisetune sweep sweeps/quickstart.yaml --name second-try",
            "noisetune sweep sweeps/budget_matched.yaml --smoke",
            "noisetune sweep sweeps/quickstart.yaml --quiet --notify https://chat.lab/hook",
        )
    )(sweep)
    app.command(
        epilog=examples(
            "noisetune resume quickstart",
            "noisetune resume quickstart --set trials_per_condition=12",
            "noisetune resume quickstart --retry-failed",
            "noisetune resume traded --replicate 'noise.rate=0.6 trial 3'",
        )
    )(resume)


def sweep(
    file: SweepFile,
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
    allow_write: AllowWriteOption = None,
    ledger: LedgerOption = None,
    notify: NotifyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    register: RegisterOption = False,
    system_metrics: SystemOption = False,
) -> None:
    """Run a sweep: Optuna samples and prunes, Ray runs the trials, MLflow keeps them."""
    from noisetune.sweep.home import Site

    options = store, share, address, tracking_uri, allow_write or (), ledger
    terminal, notice = Terminal(set_volume(quiet, verbose)), Notice(notify)
    site = replace(Site.of(mlruns, *options), register=register, system_metrics=system_metrics)
    read_first(file, name, settings or (), terminal.say)
    from noisetune.sweep.run import drive, new_sweep, smoke_folder

    folder = smoke_folder(site.home) if smoke else None
    prepared = new_sweep(file, None, name, settings or (), folder, terminal.say, site)
    with notice.of(prepared.config.name):
        outcome = notice.outcome = drive(prepared, site, terminal, again, report=True)
    _show_outcome(site.home, outcome, _Same.options(site, tracking_uri, prepared), terminal.volume)


def resume(
    name: NameArgument,
    settings: SetOption = None,
    replicate: Annotated[
        list[str] | None,
        typer.Option(help="A trial of the Pareto front to run again, by the name `best` shows."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Run what failed again, as it was."),
    ] = False,
    address: AddressOption = None,
    store: StoreOption = None,
    share: ShareOption = True,
    mlruns: MlrunsOption = DEFAULT_MLRUNS,
    tracking_uri: TrackingOption = None,
    allow_write: AllowWriteOption = None,
    ledger: LedgerOption = None,
    notify: NotifyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    register: RegisterOption = False,
    system_metrics: SystemOption = False,
) -> None:
    """Go on with a sweep that was stopped or is to grow: nothing that ended runs again.

    With `--retry-failed` what failed does: with the same values and seed, and in its place.
    With `--set` it grows: trials_per_condition, replicates, budget, resources, patience.
    """
    from noisetune.sweep.home import Site
    from noisetune.sweep.study.recorded import begun_ledger

    options = store, share, address, tracking_uri, allow_write or (), ledger
    terminal, notice = Terminal(set_volume(quiet, verbose)), Notice(notify)
    site = replace(Site.of(mlruns, *options), register=register, system_metrics=system_metrics)
    begun_ledger(site.home, name)
    terminal.say(f"reading the ledger of sweep {name} ...")
    from noisetune.sweep.run import begun_sweep, drive

    prepared = begun_sweep(site.home, name, settings or (), replicate or (), site.allow_write)
    with notice.of(name):
        outcome = drive(
            prepared, site, terminal, resume=True, retry_failed=retry_failed, report=True
        )
        notice.outcome = outcome
    _show_outcome(site.home, outcome, _Same.options(site, tracking_uri, prepared), terminal.volume)


@dataclass(frozen=True)
class _Same:
    """The options that a suggested command repeats: where sweeps are, and how this one runs."""

    home: str
    run: str

    @classmethod
    def options(cls, site: "Site", tracking_uri: str | None, prepared: "Sweep") -> "_Same":
        home, stages = site.home, site.stages
        given = [
            ("--tracking-uri", tracking_uri),
            ("--address", site.address),
            ("--store", None if stages == home.shared_stages() else stages),
            *(("--allow-write", str(each)) for each in needs_leave(prepared.written(), home.root)),
        ]
        words = [f" {name} {shlex.quote(value)}" for name, value in given if value]
        flags = {
            "--no-share": not stages,
            "--register": site.register,
            "--system-metrics": site.system_metrics,
        }
        words += [f" {name}" for name, given in flags.items() if given]
        return cls(same_place(home), "".join(words))


@dataclass(frozen=True)
class Terminal:
    """The reporter of the command line: lines, and the live table while trials run; a quiet one
    says nothing."""

    volume: Volume

    def say(self, line: str) -> None:
        if self.volume != "quiet":
            console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def watching(self, prepared: "Sweep", ledger: "Ledger") -> "Iterator[Sequence[Watcher]]":
        from noisetune.cli.live import LiveTable
        from noisetune.sweep.watch.progress import Progress

        if self.volume == "quiet":
            yield []
            return
        verbose = self.volume == "verbose"
        with LiveTable(console, Progress.of(prepared, ledger), verbose) as table:
            yield [table]


def _show_outcome(home: "Home", outcome: "Outcome", same: _Same, volume: Volume) -> None:
    """The tables of a sweep that was driven, and what to type next."""
    show_results(home, outcome.sweep, outcome.ledger)
    name, failed = outcome.sweep.config.name, outcome.failed
    if failed:
        again = f"noisetune resume {name} --retry-failed{same.home}{same.run}"
        console.print(f"{counted(len(failed), 'trial')} failed; run what failed again with:")
        console.print(f"  {again}", highlight=False, soft_wrap=True)
    if volume != "quiet" or not outcome.scheduler.finished:
        _next_commands(name, outcome.scheduler, same)
    if outcome.interrupted:
        raise typer.Exit(SIGNALLED + (outcome.signal or signal.SIGINT))
    if failed or outcome.scheduler.fault is not None:
        raise typer.Exit(FAILED)


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
        were = f"{counted(begun, 'trial')} {'was' if begun == 1 else 'were'} interrupted"
        console.print(f"stopped{why}: {were}, {rest} had not begun.")
        console.print("Go on with:")
        budget = scheduler.stopped is not None and scheduler.fault is None
        meaning = "with --set for a larger budget" if budget else ""
        lines = {f"noisetune resume {name}{same.home}{same.run}": meaning}
    for command, meaning in lines.items():
        console.print(f"  {command:<60}  {meaning}".rstrip(), highlight=False, soft_wrap=True)
