"""The Ray side of a trial: one `step()` pulls the next points of the pipeline."""

import json
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import ray
import torch
from ray import tune

from noisetune.config import TrialConfig
from noisetune.errors import UserError, fault_of_machine
from noisetune.leaving import HostLeaves, seconds_left
from noisetune.pipeline import Options, run_trial
from noisetune.predictions import pack
from noisetune.records import FINETUNE, GATE, Event, MetricPoint, TrialResult, Waiting
from noisetune.stages.kept import Kept
from noisetune.store import NullStore, Store
from noisetune.sweep.execution.draining import start_watching
from noisetune.sweep.execution.message import Message
from noisetune.training.loop import DivergedError

STEP_SECONDS = 1.5
JUDGED = (GATE, FINETUNE)
Pipeline = Callable[..., Generator[Event, None, TrialResult]]


def make_trainable(pipeline: Pipeline = run_trial) -> type[tune.Trainable]:
    """A Trainable that drives `pipeline` with what is under `job` in its configuration.

    A generator is never checkpointed: a trial that starts again is rebuilt from its configuration
    and finds its finished stages in the store.
    """

    # Of the process: its trials follow each other.
    kept = Kept()

    class PipelineTrainable(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            if ray.is_initialized():
                start_watching()
            job = json.loads(config["job"])
            if torch.cuda.is_available() and 0 < config["gpu"] < 1:
                # Ray's shares are bookkeeping; this holds a trial to its own.
                torch.cuda.set_per_process_memory_fraction(config["gpu"])
            self._milestones = frozenset(job["milestones"])
            self._events = self._begin(job)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.cleanup()
            self.setup(new_config)
            return True

        def _begin(self, job: dict[str, Any]) -> Generator[Event | bytes, None, TrialResult]:
            """A generator from the start: what goes wrong here is the trial's, not the actor's.

            After the pipeline's events come its predictions as bytes.
            """
            if seconds_left() is not None:
                raise HostLeaves("nothing is begun any more")
            trial = TrialConfig.parse(job["config"], job["name"])
            store = NullStore() if job["store"] is None else Store.open(job["store"])
            options = Options(tuple(job["milestones"]), job["knn"], kept)
            result = yield from pipeline(trial, store, options)
            if result.predictions is not None:
                # In a step of their own: Ray keeps the last one of every trial in memory.
                yield pack(result.predictions)
            return result

        def step(self) -> dict[str, Any]:
            points: list[MetricPoint] = []
            message = self._pulled(points)
            return replace(message, points=tuple(points)).to_result()

        def _pulled(self, points: list[MetricPoint]) -> Message:
            """What became of the trial while `points` were collected."""
            try:
                return self._pull(points)
            except HostLeaves:
                # Ray would give the process another trial: it ends, and its trial is run elsewhere.
                raise
            except torch.OutOfMemoryError as error:
                return Message(error=f"out of memory: {error}", out_of_memory=True)
            except Exception as error:
                if (fault := fault_of_machine(error)) is not None:
                    return Message(error=fault, machine=True)
                if isinstance(error, DivergedError):
                    return Message(error=str(error), diverged=True, chance=error.chance)
                if isinstance(error, UserError):
                    return Message(error=str(error))
                reason = f"{type(error).__name__}: {error}"
                return Message(error=reason, trace=traceback.format_exc())

        def _pull(self, points: list[MetricPoint]) -> Message:
            """Collect points until one that is judged or waited for, the end, or the time is up."""
            deadline = time.monotonic() + STEP_SECONDS
            while time.monotonic() < deadline:
                try:
                    event = next(self._events)
                except StopIteration as stop:
                    return Message(finished=stop.value)
                if isinstance(event, Waiting):
                    return Message(waiting=True)
                if isinstance(event, bytes):
                    return Message(predictions=event)
                if isinstance(event, MetricPoint):
                    points.append(event)
                    if event.stage in JUDGED or event.step in self._milestones:
                        break
            return Message()

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}

        def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
            pass

        def cleanup(self) -> None:
            self._events.close()

    return PipelineTrainable
