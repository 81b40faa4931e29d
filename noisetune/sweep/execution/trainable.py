"""The Ray side of a trial: one `step()` pulls the next points of the pipeline."""

import json
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any

import torch
from ray import tune

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.pipeline import Options, run_trial
from noisetune.records import Event, MetricPoint, TrialResult, Waiting
from noisetune.store import NullStore, Store
from noisetune.training.loop import DivergedError

STEP_SECONDS = 1.5
JUDGED = ("gate", "finetune")
Pipeline = Callable[..., Generator[Event, None, TrialResult]]


def make_trainable(pipeline: Pipeline = run_trial) -> type[tune.Trainable]:
    """A Trainable that drives `pipeline` with what is under `job` in its configuration.

    A generator is never checkpointed: a trial that starts again is rebuilt from its configuration
    and finds its finished stages in the store.
    """

    class PipelineTrainable(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            job = json.loads(config["job"])
            if torch.cuda.is_available() and 0 < config["gpu"] < 1:
                # Ray's shares are bookkeeping; this holds a trial to its own.
                torch.cuda.set_per_process_memory_fraction(config["gpu"])
            self._name, self._progress = job["name"], 0.0
            trial = TrialConfig.parse(job["config"], job["name"])
            store = NullStore() if job["store"] is None else Store.open(job["store"])
            options = Options(tuple(job["milestones"]), job["knn"])
            self._milestones = frozenset(options.milestones)
            self._waiting = False
            self._events = pipeline(trial, store, options)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.cleanup()
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            points: list[MetricPoint] = []
            try:
                finished = self._pull(points)
            except (DivergedError, UserError) as error:
                return self._result(points, error=str(error), done=True)
            except torch.OutOfMemoryError as error:
                reason = f"out of memory: {error}"
                return self._result(points, error=reason, out_of_memory=True, done=True)
            except Exception as error:
                trace = traceback.format_exc()
                reason = f"{type(error).__name__}: {error}"
                return self._result(points, error=reason, trace=trace, done=True)
            if finished is None:
                return self._result(points)
            return self._result(points, finished=finished.to_json(), done=True)

        def _pull(self, points: list[MetricPoint]) -> TrialResult | None:
            """Collect points until one that is judged or waited for, the end, or the time is up."""
            self._waiting = False
            deadline = time.monotonic() + STEP_SECONDS
            while time.monotonic() < deadline:
                try:
                    event = next(self._events)
                except StopIteration as stop:
                    return stop.value
                if isinstance(event, MetricPoint):
                    points.append(event)
                    if event.stage in JUDGED or event.step in self._milestones:
                        break
                elif isinstance(event, Waiting):
                    self._waiting = True
                    break
                else:
                    self._progress = event.done
            return None

        def _result(self, points: list[MetricPoint], **more: Any) -> dict[str, Any]:
            told = {
                "points": [point.to_json() for point in points],
                "progress": self._progress,
                "waiting": self._waiting,
            }
            return {"noisetune": json.dumps(told | more), "done": more.get("done", False)}

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}

        def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
            pass

        def cleanup(self) -> None:
            self._events.close()

    return PipelineTrainable
