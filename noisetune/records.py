"""What a running trial says: plain, frozen records that every layer can read."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from noisetune.predictions import Predictions

Metrics = dict[str, float | None]

PRETRAIN, TELEMETRY, FINETUNE, DETECT = "pretrain", "telemetry", "finetune", "detect"
EXTRACT, FOLD, DETECT_CV = "extract", "fold", "detect_cv"
"""The stages: of metric points, of stage keys and of the seconds that a trial took."""

GATE = "gate"
"""What is told of an encoder before fine-tuning: metric points, of no stage of their own."""

ENCODER = "encoder"
"""A given encoder, in stage keys."""


@dataclass(frozen=True)
class MetricPoint:
    """Metrics of one stage after `step` epochs (1-based); `detect` has the single step 0.

    `made` is when the point was first computed (Unix seconds): a replay repeats it, so that a
    tracker can tell a repeated point from a new one.
    """

    stage: str
    step: int
    values: Metrics
    made: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "MetricPoint":
        return cls(record["stage"], record["step"], dict(record["values"]), record["made"])


@dataclass(frozen=True)
class Tick:
    """A sign of life from inside a long epoch: no metric, written nowhere."""

    stage: str
    done: float
    """Share of the stage that is done, 0..1."""


@dataclass(frozen=True)
class Waiting:
    """Another process computes the stage that this trial needs next."""

    stage: str


Event = MetricPoint | Tick | Waiting


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    `epochs` maps each choice of epoch (`last`, `noisy_best`, `label_wave`, `oracle`) to the metrics
    of that epoch (with `epoch`); results of earlier versions have no `label_wave`. `detection`
    holds the scores of the flagged test labels (as `cv_...` those of the training labels), `noise`
    the realised rates and transition matrices and their estimates, `seconds` the time spent
    computing each stage, `telemetry` what was seen of the encoder that was fine-tuned (with
    `epoch`). `cost` is what the trial would cost alone: `passes` through the network for each
    training image, two for an epoch of pre-training and one for an epoch of fine-tuning (of a
    network; of a probe its features once, and the head's share of an epoch), and `flops`, the
    operations of the backbone in them, three forward passes to each, and of a probe its head's.
    `overfitting`, by flat metric names, says what became of the peaks (the clean one is `oracle`,
    the noisy one `noisy_best`): `test/loss_escalation`, `test/overfits` (1 or 0),
    `test/accuracy_drop` and `val/accuracy_drop`. `predictions` are what it makes of each test
    image: arrays, which are no part of its JSON.
    """

    config: dict[str, Any]
    epochs: dict[str, Metrics]
    detection: Metrics
    noise: dict[str, Any]
    seconds: dict[str, float]
    cost: Metrics = field(default_factory=dict)
    overfitting: Metrics = field(default_factory=dict)
    telemetry: Metrics = field(default_factory=dict)
    predictions: "Predictions | None" = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        record = asdict(replace(self, predictions=None))
        del record["predictions"]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TrialResult":
        return cls(**record)

    def metrics(self) -> Metrics:
        """The result as flat metric names, as the tracker and the tables use them."""
        flat: Metrics = {f"detect/{name}": value for name, value in self.detection.items()}
        flat |= {f"cost/{name}": value for name, value in self.cost.items()}
        for choice, values in self.epochs.items():
            flat |= {f"{name}_at_{choice}": value for name, value in values.items()}
        flat |= {f"{name}_at_pretrained": value for name, value in self.telemetry.items()}
        return flat | self.overfitting


State = Literal["running", "interrupted", "complete", "pruned", "failed"]
"""How a trial stands: `interrupted` is one that has not ended, and that nobody runs."""
Kind = Literal["search", "replicate"]


@dataclass(frozen=True)
class TrialRecord:
    """What the ledger says of a trial: all that tables, plots and statistics read.

    `factors` are the condition's values, `parameters` the sampled ones, `objective` the best
    value of the sweep's objective and `objectives` those of all its goals, `metrics` as
    `TrialResult.metrics` gives them, `config` the resolved TrialConfig as JSON. A `replicate`
    has a seed of its own, from 1 up; search trials have seed 0, or that of their search where each
    search is a replicate: once that is over, `won` says whether this is its winner. `replaced` says
    that it failed and was run again, under another name: that one counts in its place. `diverged`
    is one that failed because its training did: it counts, and its `metrics` have the clean
    accuracy that it had come to at each choice of epoch, or that of guessing. `machine` is one that
    the machine failed: a replicate of that kind does not count, and runs again when the sweep goes
    on.
    """

    name: str
    condition: str
    factors: dict[str, Any]
    kind: Kind
    number: int
    state: State
    parameters: dict[str, Any]
    config: dict[str, Any]
    objective: float | None = None
    objectives: tuple[float, ...] = ()
    metrics: Metrics = field(default_factory=dict)
    reason: str | None = None
    replaced: bool = False
    diverged: bool = False
    machine: bool = False
    won: bool | None = None

    @property
    def seed(self) -> int:
        return self.config["replicate"]

    @property
    def counts(self) -> bool:
        """Whether it is a value among replicates: one that diverged is."""
        return self.state == "complete" or self.diverged

    @property
    def one_encoder(self) -> bool:
        """Whether all its replicates begin with the same encoder: then the spread over them says
        nothing of another one, and intervals are conditional on it."""
        pretrain = self.config.get("pretrain", {})
        given = "epochs" not in pretrain
        shared = self.config.get("pretrain_seed") == "shared"
        return pretrain.get("method", "none") != "none" and (given or shared)

    @property
    def reads_truth(self) -> bool:
        """Whether its fine-tuning knew of the truth, as it says by `finetune.oracle`."""
        return bool(self.config.get("finetune", {}).get("oracle"))


@dataclass(frozen=True)
class Claim:
    """What a sweep has established of conditions `a` and `b`, and when: it stays, however it grows.

    `kind` is where `a` stands: above or below `b`, or equal to it within the sweep's margin. `n` is
    the replicate that established it, `family` the place of the family of comparisons, from 0, and
    `level` the chance that any claim of that family is false.
    """

    a: str
    b: str
    kind: Literal["above", "below", "equal"]
    n: int
    family: int
    level: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Claim":
        return cls(**record)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `a.b.c: value`."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
