"""What Optuna optimises: one metric of the fine-tuning epochs, or several that are traded off."""

from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from noisetune.records import MetricPoint, Metrics
from noisetune.section import Section

Direction = Literal["maximize", "minimize"]
SELECTABLE = ("val/accuracy", "val/loss", "train/loss")
ORACLE = ("test/accuracy", "test/loss", "detect/memorisation")
COSTS = ("cost/passes", "cost/flops")


class Goal(Section):
    """A metric and its direction.

    Only `train/...` and `val/...` are selectable: they see noisy labels alone.
    """

    metric: str = "val/accuracy"
    """`val/accuracy`, `val/loss` or `train/loss`; under `oracle` also `test/accuracy`,
    `test/loss` and `detect/memorisation`."""
    direction: Direction = "maximize"
    """Where it is left out, the one in which the metric is better."""
    oracle: bool = False
    """Take metrics that look at the truth, too; every figure then says so."""

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """The metrics that see no truth."""
        return SELECTABLE

    @model_validator(mode="before")
    @classmethod
    def _better(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "direction" not in raw:
            return raw | {"direction": _better_direction(raw.get("metric", "val/accuracy"))}
        return raw

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in cls.choices() + ORACLE:
            raise ValueError(
                f"no such metric of an epoch; choose one of {', '.join(cls.choices())} "
                f"(with oracle: true also {', '.join(ORACLE)})"
            )
        return metric

    def model_post_init(self, context: Any) -> None:
        if self.metric in ORACLE and not self.oracle:
            raise ValueError(
                f"metric {self.metric!r} is not selectable, it looks at the clean labels; choose "
                f"one of {', '.join(self.choices())}, or set oracle: true and say so in what you "
                "report"
            )
        better = _better_direction(self.metric)
        if self.metric != "detect/memorisation" and self.direction != better:
            raise ValueError(f"direction {self.direction!r}: it must be {better} for {self.metric}")

    @property
    def maximize(self) -> bool:
        """Whether more of it is better."""
        return self.direction == "maximize"


class OtherGoal(Goal):
    """A goal beside the first; it may be a cost of the whole trial, too."""

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """The metrics that see no truth, and what a trial costs."""
        return SELECTABLE + COSTS


class Objective(Goal):
    """The goal that chooses a trial's epoch, and those that are traded off against it."""

    allow_uninformative: bool = False
    """Let a noisy metric be optimised where the noise tells nothing about the clean label: where
    some wrong class is as frequent as the right one."""
    also: tuple[OtherGoal, ...] = ()
    """Further goals, read at the same epoch: each condition then has a Pareto front in place of a
    winner, and nothing is pruned. Their metric may also be `cost/passes`: passes through the
    network for each training image, two for an epoch of pre-training (the encoder is charged in
    full), one for an epoch of fine-tuning, for each network that is trained; or `cost/flops`, the
    floating-point operations of the backbone in them."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        metrics = [goal.metric for goal in self.goals]
        if len(set(metrics)) < len(metrics):
            raise ValueError(f"also: {', '.join(metrics)}: each goal must be another metric")
        return self

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The first goal and those beside it, in their order."""
        return (self, *self.also)

    @property
    def several(self) -> bool:
        """Whether goals are traded off, so that nothing wins."""
        return bool(self.also)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Optuna's direction for each goal."""
        return tuple(goal.direction for goal in self.goals)

    @property
    def metrics(self) -> str:
        """All of its metrics, in words."""
        return " and ".join(goal.metric for goal in self.goals)

    def better(self, first: MetricPoint, second: MetricPoint) -> MetricPoint:
        """The better of two epochs by the first goal; `first` where they are equal."""
        gain = (second.values[self.metric] or 0.0) - (first.values[self.metric] or 0.0)
        return second if (gain if self.maximize else -gain) > 0 else first

    def values(self, best: MetricPoint, metrics: Metrics) -> list[float]:
        """The value of each goal: of the trial's `best` epoch, and its costs among `metrics`."""
        return [float((metrics | best.values)[goal.metric] or 0.0) for goal in self.goals]


def _better_direction(metric: Any) -> Direction:
    down = str(metric).endswith("loss") or str(metric) in (*COSTS, "detect/memorisation")
    return "minimize" if down else "maximize"
