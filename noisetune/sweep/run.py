"""The order of a sweep, stated once: the command line, a notebook and the benchmarks call it.

`run_sweep` is what a notebook calls. It prepares a sweep (`new_sweep`) and drives it to its end
(`drive`); `drive` reads from top to bottom as what happens. Nothing here prints: what there is to
say goes to a `Reporter`.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from noisetune.allowed import check_written
from noisetune.datasets import Datasets
from noisetune.errors import MachineError, UserError, fault_of_machine, machine_errors
from noisetune.pipeline import run_trial
from noisetune.records import flatten
from noisetune.store import Lease, LeaseLost
from noisetune.sweep import show_token
from noisetune.sweep.about import about
from noisetune.sweep.closing import Closing
from noisetune.sweep.execution.stop import Stop
from noisetune.sweep.home import Home, Site
from noisetune.sweep.log import Logged, sweep_log
from noisetune.sweep.outcome import Outcome
from noisetune.sweep.preflight import preflight
from noisetune.sweep.provenance import note_drive
from noisetune.sweep.reporter import NOBODY, Listeners, Reporter, Say
from noisetune.sweep.resolution import resolutions
from noisetune.sweep.resources.capacity import check_fits, local_resources
from noisetune.sweep.spec.sweep import GivenConfig, GivenSpace, Sweep, naming
from noisetune.sweep.study.lease import sweep_lease
from noisetune.sweep.study.ledger import MACHINE, Ledger
from noisetune.sweep.study.recorded import read_ledger
from noisetune.sweep.study.resume_rules import replicating, surplus
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.sweep.study.searcher import Searcher
from noisetune.sweep.study.storage import check_warm_start, drive_ledger, open_sweep, refuse_taken
from noisetune.sweep.study.watcher import Watcher
from noisetune.sweep.summary import summary
from noisetune.sweep.watch.progress import Progress
from noisetune.sweep.watch.status_file import StatusFile
from noisetune.tracking.machine import watched_machine
from noisetune.tracking.tracker import Tracker, check_tracking, open_tracker

if TYPE_CHECKING:
    from noisetune.sweep.execution.runner import Runner
    from noisetune.sweep.execution.trainable import Pipeline
    from noisetune.sweep.results import SweepResults


def run_sweep(
    file_or_config: GivenConfig,
    space: GivenSpace | None = None,
    *,
    name: str | None = None,
    settings: Sequence[str] = (),
    smoke: bool = False,
    resume: bool = False,
    retry_failed: bool = False,
    address: str | None = None,
    store: str | Path | None = None,
    share: bool = True,
    mlruns: str | Path = "mlruns",
    tracking_uri: str | None = None,
    allow_write: Sequence[str | Path] = (),
    ledger: str | None = None,
    register: bool = False,
    system_metrics: bool = False,
    say: Say | None = None,
    watchers: Sequence[Watcher] = (),
) -> "SweepResults":
    """Run a sweep to its end, and give its results, as `noisetune sweep` does.

    Parameters:
        file_or_config: the path of a sweep's YAML file; or its content, as a mapping or a
            `SweepConfig`, with its search space beside it.
        space: the search space: a path, a mapping of `conditions` and `parameters`, or a
            `SearchSpace`; it takes the place of the one that a file names.
        name: another name than the one that is given.
        settings: values to put over it, each as `field=value`.
        smoke: run every condition in small, under NAME-smoke; what is not there is made up.
        resume: go on with the sweep of this name, if there is one.
        retry_failed: with `resume`, run its failed trials and replicates again.
        address: a running Ray cluster, HOST:PORT or `auto`; by default this machine.
        store: the store of stages, a folder or a URL; by default MLRUNS/stages.
        share: whether finished stages are taken from the store, and put there.
        mlruns: the folder of ledgers, stages, MLflow's database and artifacts.
        tracking_uri: an MLflow server; by default the SQLite file in the mlruns folder.
        allow_write: folders that a YAML file may have written to, beside its own, the mlruns folder
            and the cache. What a mapping or a `SweepConfig` says is your program's word.
        ledger: a database for the ledger, by its URL; by default a file in the sweep's folder.
        register: at the end, register the winners' networks as models in MLflow.
        system_metrics: tell MLflow what this machine's processors, memory, disk and GPUs do.
        say: takes each line that there is to say, `print` for example.
        watchers: are told when trials start, of their metric points and results, and how they end;
            derived from `noisetune.sweep.study.watcher.Watcher`.

    Raises UserError for what is wrong with it, before anything starts. Ctrl-C, or a notebook's
    stop, raises KeyboardInterrupt once all is written down: `resume=True` goes on from there, and
    also after a MachineError, which a full disk, memory that ran out or lost processes raise. A
    sweep that its budget stopped gives the results that it has.
    """
    from noisetune.sweep.results import SweepResults

    where = None if store is None else str(store)
    site = Site.of(mlruns, where, share, address, tracking_uri, allow_write, ledger)
    site = replace(site, register=register, system_metrics=system_metrics)
    reporter = Listeners(say, watchers)
    folder = smoke_folder(site.home) if smoke else None
    sweep = new_sweep(file_or_config, space, name, settings, folder, reporter.say, site)
    outcome = drive(sweep, site, reporter, resume, retry_failed=retry_failed, report=True)
    if outcome.scheduler.fault is not None:
        raise MachineError(
            f"sweep {sweep.config.name!r}: {outcome.scheduler.fault}; resume=True goes on"
        )
    if outcome.interrupted:
        raise KeyboardInterrupt(f"sweep {sweep.config.name!r} was stopped; resume=True goes on")
    return SweepResults(sweep.config.name, site.home)


def new_sweep(
    given: GivenConfig,
    space: GivenSpace | None = None,
    name: str | None = None,
    settings: Sequence[str] = (),
    smoke: Path | None = None,
    say: Say = lambda line: None,
    site: Site | None = None,
) -> Sweep:
    """A sweep as it is given, prepared; with `smoke`, a folder, in small.

    What is missing is then made in that folder, and said. UserError for all that is wrong, and
    where a file would have anything written that it may not at `site`.
    """
    sweep = Sweep.read(given, space, name, settings)
    if site is not None and isinstance(given, (str, Path)):
        own = Path(given).parent
        check_written(sweep.written(), str(given), own, site.home.root, site.allow_write)
    if smoke is None:
        return sweep
    from noisetune.sweep.smoke_run import in_small

    with naming(*sweep.sources):
        return replace(in_small(sweep, smoke, say), sources=sweep.sources)


def smoke_folder(home: Home) -> Path:
    """Where a smoke run finds what was made up for it."""
    return (home.root / "smoke").resolve()


def begun_sweep(
    home: Home,
    name: str,
    settings: Sequence[str] = (),
    replicate: Sequence[str] = (),
    allow_write: Sequence[Path] = (),
) -> Sweep:
    """A sweep that was begun before, to be gone on with; `replicate` names trials to run again.

    UserError where it would write what it may not: the folder may have come from elsewhere, too.
    """
    sweep, ledger = open_sweep(home, name, settings)
    check_written(sweep.written(), f"sweep {name!r}", None, home.root, allow_write)
    return replicating(sweep, ledger, replicate) if replicate else sweep


def drive(
    sweep: Sweep,
    site: Site,
    reporter: Reporter = NOBODY,
    resume: bool = False,
    pipeline: "Pipeline" = run_trial,
    retry_failed: bool = False,
    report: bool = False,
    runner: "Runner | None" = None,
) -> Outcome:
    """Run what is left of a prepared sweep, in Ray unless another `runner` is given; with `resume`
    it may have been begun before.

    `retry_failed`: what failed is run again, with the same values and seed, in the same place.
    `report`: at its end the report is written, and MLflow has the page.
    Ctrl-C, SIGTERM and SIGHUP end the step in which trials run, and no other: what ran stays
    `running` in the ledger, for a resume, and MLflow is told so.
    """
    if retry_failed and not resume:
        raise UserError("retry_failed: a sweep that begins has no failed trial; give resume, too")
    name, datasets, reporter = sweep.config.name, Datasets(), Logged(reporter)
    stop, log = Stop(reporter.say), sweep_log(site.home.log(name))
    _look(sweep, site, resume, datasets)
    # A cluster first: whoever mistypes its address finds nothing left behind.
    cluster = nullcontext() if site.address is None else _session(sweep, site, reporter, runner)
    held = sweep_lease(site.home, name)
    with machine_errors(), stop.heard(), cluster, _taken_over(name), held as lease, log:
        check_tracking(site.tracking_uri, name, site.artifacts)
        ledger = scheduler = None
        if resume and not sweep.config.resources.auto and read_ledger(site.home, name) is not None:
            ledger = _ledger(sweep, site, lease, retry_failed, reporter)
            scheduler = _finished(sweep, ledger, reporter)
        idle = scheduler is not None or site.address is not None
        with nullcontext() if idle else _session(sweep, site, reporter, runner):
            stop.listen()
            if ledger is None:
                sweep = _settle(sweep, reporter)
                ledger = _ledger(sweep, site, lease, retry_failed, reporter)
            tracker = _caught_up(sweep, site, ledger, lease, datasets)
            ran = scheduler is None
            if scheduler is None:
                note_drive(site.home, name, resolutions(sweep, datasets.load))
                machine = watched_machine(tracker.system) if site.system_metrics else nullcontext()
                watching = _watching(sweep, ledger, site, reporter)
                with watching as watchers, machine, stop.gently():
                    everyone = [tracker, *watchers]
                    scheduler = _run(sweep, ledger, site, everyone, datasets, pipeline, runner)
        if scheduler.superseded:
            tracker.abandon()
            raise LeaseLost
        closing = Closing(sweep, site, tracker, datasets, reporter.say, report and ran)
        delivered = _close(ledger, scheduler, closing, reporter)
    return Outcome(sweep, ledger, scheduler, delivered, stop.signal)


@contextmanager
def _taken_over(name: str) -> Iterator[None]:
    """UserError where the lease on a sweep is lost, wherever that is noticed."""
    try:
        yield
    except LeaseLost:
        why = "another process has taken this sweep over; this one has ended"
        raise UserError(f"sweep {name!r}: {why}") from None


def _finished(sweep: Sweep, ledger: Ledger, reporter: Reporter) -> Scheduler | None:
    """The scheduler of a sweep that has nothing left to run, which is said; None of any other."""
    scheduler = Scheduler(sweep.config, sweep.conditions, ledger)
    if not scheduler.finished:
        return None
    reporter.say(f"sweep {sweep.config.name!r} is finished: nothing is left to run")
    return scheduler


def _look(sweep: Sweep, site: Site, resume: bool, datasets: Datasets) -> None:
    """Refuse, before anything starts, what would not come to a good end."""
    stored = site.stored
    with naming(*sweep.sources):
        preflight(sweep, stored, datasets)
    with naming(*sweep.sources[:1]):
        if not resume:
            refuse_taken(site.home, sweep.config.name)
        elif site.home.ledger is not None:
            read_ledger(site.home, sweep.config.name)
        if site.address is None:
            check_fits(sweep.config.resources, local_resources(), "this machine")
    check_warm_start(site.home, sweep.config)
    site.check_room()


def _session(
    sweep: Sweep, site: Site, reporter: Reporter, runner: "Runner | None"
) -> AbstractContextManager[None]:
    from noisetune.sweep.execution.launch import ON_RAY

    if runner is None:
        where = "on this machine" if site.address is None else f"at {site.address}"
        reporter.say(f"starting Ray {where} ...")
        if site.address is not None:
            show_token()
    return (runner or ON_RAY).session(sweep.config.resources, site.address, site.stages)


def _settle(sweep: Sweep, reporter: Reporter) -> Sweep:
    """The sweep with its resources measured where they are `auto`, and said."""
    from noisetune.sweep.resources.auto_share import settle

    settled = settle(sweep)
    if settled is not sweep:
        share = settled.config.resources
        reporter.say(f"resources: cpu {share.cpu:g}, gpu {share.gpu:g} (measured)")
    return settled


def _ledger(
    sweep: Sweep, site: Site, lease: Lease, retry_failed: bool, reporter: Reporter
) -> Ledger:
    """The ledger to drive; what failed is run again where that is asked for or was the machine's
    fault, and what is surplus said."""
    ledger = drive_ledger(site.home, sweep, lease)
    conditions = [each.name for each in sweep.conditions]
    names = ledger.run_failed_again(conditions, ("replicate",), MACHINE)
    if retry_failed:
        names += ledger.run_failed_again(conditions)
    if names or retry_failed:
        count = f"{len(names)} failed: {', '.join(names)}" if names else "nothing failed"
        reporter.say(f"run again: {count}")
    for line in surplus(sweep.config, ledger.records(sweep.cells)):
        reporter.say(line)
    return ledger


def _caught_up(
    sweep: Sweep, site: Site, ledger: Ledger, lease: Lease, datasets: Datasets
) -> Tracker:
    """A tracker that knows all that the ledger does."""
    name = sweep.config.name
    tracker = open_tracker(
        site.tracking_uri,
        name,
        site.home.outbox(name),
        site.artifacts,
        mine=lambda: lease.alive,
        identity=ledger.identity,
        about=about(sweep.config, sweep.cells, sweep.sources, datasets),
        check=lease.check,
    )
    tracker.sweep("running", flatten(sweep.definition()), summary(sweep, ledger, "running"))
    tracker.catch_up(ledger.records(sweep.cells))
    return tracker


@contextmanager
def _watching(
    sweep: Sweep, ledger: Ledger, site: Site, reporter: Reporter
) -> Iterator[Sequence[Watcher]]:
    """Those whom the reporter gives, and the file that other terminals look into."""
    ledger.size = Searcher(sweep.config, sweep.conditions, ledger).size
    status = StatusFile(site.home.status_file(sweep.config.name), Progress.of(sweep, ledger))
    with reporter.watching(sweep, ledger) as watchers, status.kept():
        yield [*watchers, status]


def _run(
    sweep: Sweep,
    ledger: Ledger,
    site: Site,
    watchers: Sequence[Watcher],
    datasets: Datasets,
    pipeline: "Pipeline",
    runner: "Runner | None",
) -> Scheduler:
    from noisetune.sweep.execution.launch import run_trials

    given = pipeline, site.stages, datasets, runner
    return run_trials(sweep, ledger, site.home, watchers, *given)


def _close(ledger: Ledger, scheduler: Scheduler, closing: Closing, reporter: Reporter) -> bool:
    """Say the last words to MLflow, and wait until it has them; whether it took them all."""
    sweep, tracker = closing.sweep, closing.tracker
    try:
        ledger.size = scheduler.searcher.size
        for job in scheduler.left:
            tracker.interrupted(job.record())
        if scheduler.finished:
            closing.publish(ledger.records(sweep.cells))
        state = "complete" if scheduler.finished else "interrupted"
        tracker.sweep(state, {}, summary(sweep, ledger, state))
    except OSError as error:
        # The resume that follows says it, and what else was not written.
        scheduler.pause(fault_of_machine(error) or str(error))
    delivered = tracker.close()
    if not delivered:
        reporter.say(
            f"MLflow did not take everything: {tracker.left} messages wait in "
            f"{tracker.outbox.path}; `noisetune resume {sweep.config.name}` delivers them"
        )
    return delivered
