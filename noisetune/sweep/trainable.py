"""The Ray side of a trial: one `step()` pulls the next points of the pipeline."""

import json
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any

from ray import tune

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.records import Event, MetricPoint, TrialResult
from noisetune.store import Store
from noisetune.training.loop import DivergedError

STEP_SECONDS = 1.5
Pipeline = Callable[..., Generator[Event, None, TrialResult]]


def make_trainable(pipeline: Pipeline = run_trial) -> type[tune.Trainable]:
    """A Trainable that drives `pipeline` with what is under `job` in its configuration.

    A generator is never checkpointed: a trial that starts again is rebuilt from its configuration
    and finds its finished stages in the store.
    """

    class PipelineTrainable(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            job = json.loads(config["job"])
            self._name, self._progress = job["name"], 0.0
            trial = TrialConfig.parse(job["config"], job["name"])
            self._events = pipeline(trial, Store.open(job["store"]), tuple(job["milestones"]))

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
            except Exception as error:
                trace = traceback.format_exc()
                reason = f"{type(error).__name__}: {error}"
                return self._result(points, error=reason, trace=trace, done=True)
            if finished is None:
                return self._result(points)
            return self._result(points, finished=finished.to_json(), done=True)

        def _pull(self, points: list[MetricPoint]) -> TrialResult | None:
            """Collect points until the next fine-tuning epoch, the end, or the time is up."""
            deadline = time.monotonic() + STEP_SECONDS
            while time.monotonic() < deadline:
                try:
                    event = next(self._events)
                except StopIteration as stop:
                    return stop.value
                if isinstance(event, MetricPoint):
                    points.append(event)
                    if event.stage == "finetune":
                        break
                else:
                    self._progress = event.done
            return None

        def _result(self, points: list[MetricPoint], **more: Any) -> dict[str, Any]:
            told = {"points": [point.to_json() for point in points], "progress": self._progress}
            return {"noisetune": json.dumps(told | more), "done": more.get("done", False)}

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}

        def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
            pass

        def cleanup(self) -> None:
            self._events.close()

    return PipelineTrainable
