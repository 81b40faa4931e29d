"""What Ray Tune asks for trials and decisions: a searcher and a scheduler, both of our scheduler;
and what it may forget of trials that have ended.

Ray's own OptunaSearch never prunes and tells Optuna COMPLETE for what a scheduler stopped; here
Optuna's pruner decides in the scheduler, and is told PRUNED at once.
"""

import json
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from noisetune.errors import fault_of_machine
from noisetune.leaving import HostLeaves
from noisetune.predictions import PredictionsFolder
from noisetune.sweep.execution.message import KEY, Message
from noisetune.sweep.execution.slots import Slots
from noisetune.sweep.spec.conditions import milestones
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.scheduler import Scheduler

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
IDLE_SECONDS = 0.1
LONGEST_CAUSE = 300
NOT_STARTED = "creation task"  # of an actor, in Ray's words
TAKEN_AWAY = (HostLeaves.__name__, "killed by a spot preemption")
"""What an error says of a trial whose host was given up: our word, or Ray's."""


class TuneSearcher(Searcher):
    """Suggests the scheduler's next trial, and with `lookahead` one more than `slots` can run."""

    def __init__(
        self,
        scheduler: Scheduler,
        store: str | None,
        slots: Slots,
        lookahead: bool,
        predictions: PredictionsFolder | None = None,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.scheduler, self.predictions = scheduler, predictions
        self.shared = {
            "store": store,
            "milestones": milestones(scheduler.conditions),
            "knn": scheduler.config.pretrain_gate.knn_percentile is not None,
        }
        self.slots, self.lookahead = slots, lookahead
        self.jobs: dict[str, Job] = {}
        self.hosts: dict[str, str | None] = {}
        self.paused: set[str] = set()
        self.causes: dict[str, str] = {}

    @property
    def limit(self) -> int:
        """How many trials may have been suggested and not have ended.

        One that waits in the wings keeps an actor alive for it, and has a cluster that can grow do
        so. With a single slot the next is asked for only when the last has ended, so that the
        sampler knows its result.
        """
        slots = self.slots.now()
        return slots + 1 if self.lookahead and slots > 1 else slots

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial; None for not now, FINISHED for never again."""
        if self.scheduler.over:
            return Searcher.FINISHED
        # The share of a paused trial is another's, unless the user said how many may be at work.
        away = len(self.paused) if self.lookahead else 0
        if len(self.scheduler.running) - away >= self.limit:
            return None
        at_work = (kind for each, kind in self.hosts.items() if each not in self.paused)
        host = self.slots.place(Counter(at_work))
        job = self.scheduler.next(host)
        if job is None:
            return Searcher.FINISHED if self.scheduler.over else None
        self.jobs[trial_id], self.hosts[trial_id] = job, host
        work = {"name": job.name, "config": job.config.to_json()}
        return {"job": json.dumps(work | self.shared), "gpu": job.held, "host": host}

    def is_stranded(self, trial_id: str) -> bool:
        """Whether the last host of the kind that a trial waits for has gone."""
        return self.hosts.get(trial_id) not in self.slots.kinds

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the scheduler how a trial ended; `error` where its process did, without a word."""
        stranded = self.is_stranded(trial_id)
        self.paused.discard(trial_id)
        self.hosts.pop(trial_id, None)
        job = self.jobs.pop(trial_id, None)
        if job is None or not job.open:
            return
        message = Message.from_result(result)
        self.scheduler.report(job, message.points)
        if message.finished is not None:
            self.scheduler.complete(job, message.finished)
        elif message.error is not None:
            self._failed(job, message.error, message)
        elif stranded:
            self.scheduler.moved(job)
        elif error:
            self._lost(job, self.causes.pop(trial_id, ""))

    def keep(self, job: Job, predictions: bytes) -> None:
        """Write what a trial predicts before the ledger has its end: no resume would make it again.

        A disk that refuses is the machine's fault, and the trial is left to a resume.
        """
        if self.predictions is None or not job.open:
            return
        try:
            self.predictions.write(job.name, predictions)
        except OSError as error:
            self.scheduler.machine_failed(job, fault_of_machine(error) or str(error))

    def _failed(self, job: Job, reason: str, message: Message) -> None:
        if message.out_of_memory:
            return self.scheduler.out_of_memory(job, reason)
        if message.machine:
            return self.scheduler.machine_failed(job, reason)
        if message.diverged:
            return self.scheduler.diverged(job, reason, message.chance)
        if message.trace is not None:
            log.error("%s failed\n%s", job.name, message.trace)
        self.scheduler.fail(job, reason)

    def _lost(self, job: Job, cause: str) -> None:
        """The trial's process ended without a word; `cause` is what Ray says of that."""
        if any(words in cause for words in TAKEN_AWAY):
            log.info("%s goes on elsewhere: its host was given up", job.name)
            return self.scheduler.moved(job)
        if cause:
            log.error("%s: its process ended\n%s", job.name, cause)
        why = f": {last_line(cause)}" if NOT_STARTED in cause else ""
        self.scheduler.lost(job, f"the trial's process ended unexpectedly{why}")

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass

    # Ray's snapshots are not relied on: the ledger is the truth, and a study is never pickled.
    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass

    def get_state(self) -> dict[str, Any]:
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        pass


class TuneScheduler(FIFOScheduler):
    """Stops a trial when the scheduler says so.

    A trial that finds its encoder being computed by another sweep is paused, so that no share of
    the machine sits waiting, and goes on when that is there.
    """

    def __init__(self, searcher: TuneSearcher) -> None:
        super().__init__()
        self.searcher = searcher
        self._next_look: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Pass a step's points on, and say whether the trial goes on, stops, or was paused."""
        job = self.searcher.jobs.get(trial.trial_id)
        if job is None:
            return TrialScheduler.CONTINUE
        message = Message.from_result(result)
        if message.predictions is not None:
            self.searcher.keep(job, message.predictions)
        if not self.searcher.scheduler.report(job, message.points):
            return TrialScheduler.STOP
        if message.waiting:
            self._next_look[trial.trial_id] = time.monotonic() + LOOK_SECONDS
            self.searcher.paused.add(trial.trial_id)
            # Without a checkpoint: the trial is rebuilt from its configuration and the store.
            tune_controller.pause_trial(trial, should_checkpoint=False)
            return TrialScheduler.NOOP
        return TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Keep Ray's own words: why an actor could not start stands nowhere else."""
        if trial.error_file and Path(trial.error_file).is_file():
            self.searcher.causes[trial.trial_id] = Path(trial.error_file).read_text()

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The first trial that can start or go on; None where each waits."""
        live = list(tune_controller.get_live_trials())
        for trial in live:
            if trial.status != "RUNNING" and self.searcher.is_stranded(trial.trial_id):
                tune_controller.request_stop_trial(trial)
            elif trial.status == "PENDING" or (trial.status == "PAUSED" and self._over(trial)):
                self.searcher.paused.discard(trial.trial_id)
                return trial
        if live and all(trial.status == "PAUSED" for trial in live):
            # Ray would ask again at once: it waits for the events of running trials alone.
            time.sleep(IDLE_SECONDS)
        return None

    def _over(self, trial: Any) -> bool:
        """Whether a paused trial can go on; looked at once in a while, since it asks the store."""
        now = time.monotonic()
        if now < self._next_look.get(trial.trial_id, 0.0):
            return False
        self._next_look[trial.trial_id] = now + LOOK_SECONDS
        job = self.searcher.jobs.get(trial.trial_id)
        return job is None or self.searcher.scheduler.can_go_on(job)

    def debug_string(self) -> str:
        return ""


class EndedTrials(Callback):
    """Ray keeps every trial to the end of a sweep, and with it its configuration three times over
    and what it said last; all of that is in the ledger."""

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The last that Ray has to say of a trial: scheduler and searcher have heard it."""
        for name in (KEY, "config", "experiment_tag"):
            trial.run_metadata.last_result.pop(name, None)
        trial.experiment_tag = trial.trial_id


def last_line(text: str) -> str:
    """The end of an error's text, which says what it was."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:LONGEST_CAUSE] if lines else ""
