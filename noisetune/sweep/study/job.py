"""A trial that was asked for, and what is known of it while it runs."""

from dataclasses import dataclass, field

import optuna

from noisetune.config import TrialConfig
from noisetune.records import Kind, MetricPoint, TrialRecord
from noisetune.section import Scalar
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.study.ledger import search_name, trial_name
from noisetune.sweep.study.search_state import Asked


@dataclass
class Job:
    """A trial that was asked for: its configuration, its place in Optuna, how far it is.

    `trial` is Optuna's, and `asked` the study that it was asked of. `parameters` are the sampled
    values, a design's among them. `pretraining` is the digest of what it computes before
    fine-tuning, until it has. `seen` are the points (stage, step) that were taken; `reported` the
    epochs that Optuna had of it before it was interrupted; `epochs` those of fine-tuning so far,
    `best` the best of them. `open` says that it has not ended, `begun` that it was handed out.
    `restarts` counts lost processes. `gpu` is its share of a GPU, which grows when its memory runs
    out, and `held` what it holds on the host where it is.
    """

    condition: Condition
    kind: Kind
    trial: optuna.Trial
    asked: Asked
    config: TrialConfig
    parameters: dict[str, Scalar]
    pretraining: str | None = None
    seen: set[tuple[str, int]] = field(default_factory=set)
    reported: frozenset[int] = frozenset()
    epochs: list[MetricPoint] = field(default_factory=list)
    best: MetricPoint | None = None
    open: bool = True
    begun: bool = False
    restarts: int = 0
    gpu: float = 0.0
    held: float = 0.0

    @property
    def name(self) -> str:
        """What the trial is called everywhere."""
        return trial_name(self.condition.name, self.kind, self.trial.number, self.config.replicate)

    @property
    def search(self) -> str:
        """What the search that it is of is called."""
        return search_name(self.condition.name, self.config.replicate)

    def record(self) -> TrialRecord:
        """The trial as it runs."""
        return TrialRecord(
            name=self.name,
            condition=self.condition.name,
            factors=self.condition.factors,
            kind=self.kind,
            number=self.trial.number,
            state="running",
            parameters=self.parameters,
            config=self.config.to_json(),
        )
