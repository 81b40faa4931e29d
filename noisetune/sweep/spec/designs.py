"""Pre-training designs: a few settings of all `pretrain.*` parameters, shared by every condition.

Sampling a continuous pre-training rate afresh in each trial would never meet the store. K designs
for each method are drawn once; Optuna then sees the categorical `pretrain.design`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from noisetune.errors import UserError
from noisetune.section import Scalar
from noisetune.seeds import derive_seed
from noisetune.sweep.spec.space import Parameter

FIELD = "pretrain.design"
METHOD = "pretrain.method"


@dataclass(frozen=True)
class Designs:
    """`settings[method][design]` are the values of the designed parameters."""

    settings: dict[str, list[dict[str, Scalar]]]

    def values(self, method: str, design: int) -> dict[str, Scalar]:
        """The settings (field -> value) of a method's design, counted from 0."""
        return self.settings[method][design]


def designed(parameters: Mapping[str, Parameter], prefix_epochs: bool) -> dict[str, Parameter]:
    """The parameters that a design fixes: all of `pretrain.*` but the method itself.

    Epochs stay a parameter where they are a prefix: 10 and 50 epochs are then one run.
    """
    apart = {METHOD, "pretrain.epochs"} if prefix_epochs else {METHOD}
    return {
        field: parameter
        for field, parameter in parameters.items()
        if field.startswith("pretrain.") and field not in apart
    }


def draw_designs(
    parameters: Mapping[str, Parameter],
    methods: Mapping[str, Mapping[str, Scalar]],
    count: int,
    seed: int,
    prefix_epochs: bool,
) -> Designs:
    """`count` designs for each method, by a scrambled Sobol sequence (Owen 1998).

    `methods` gives, for each, the values that a parameter's `when` may speak of.
    """
    fields = designed(parameters, prefix_epochs)
    settings: dict[str, list[dict[str, Scalar]]] = {}
    for method, known in methods.items():
        points = sobol(len(fields), count, derive_seed("designs", seed, method))
        drawn = [setting_at(fields, {**known, METHOD: method}, point) for point in points]
        if any(drawn):
            settings[method] = drawn
    return Designs(settings)


def setting_at(
    fields: Mapping[str, Parameter], known: Mapping[str, Scalar], point: list[float]
) -> dict[str, Scalar]:
    """The values of the parameters whose `when` holds, each after those that it speaks of, at a
    point of the unit cube."""
    values: dict[str, Scalar] = {}
    for (field, parameter), coordinate in zip(fields.items(), point, strict=True):
        if parameter.holds({**known, **values}):
            values[field] = _value(parameter, coordinate)
    return values


def sobol(dimensions: int, count: int, seed: int) -> list[list[float]]:
    """The first `count` points of a scrambled sequence in the unit cube."""
    engine = qmc.Sobol(dimensions, scramble=True, rng=seed % 2**32)
    return engine.random_base2((count - 1).bit_length())[:count].tolist()


def _value(parameter: Parameter, coordinate: float) -> Scalar:
    """The parameter's value at a coordinate in [0, 1), as Optuna's distribution spaces it."""
    distribution = parameter.distribution()
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(coordinate * len(distribution.choices))]
    if not isinstance(distribution, (IntDistribution, FloatDistribution)):
        raise UserError(f"pretraining_designs: {distribution} cannot be drawn")
    low, high = distribution.low, distribution.high
    # A step stands for the interval around it, so that the ends are as likely as the others.
    half = (distribution.step or 0) / 2
    edges = low - half, high + half
    if distribution.log:
        value = edges[0] * (edges[1] / edges[0]) ** coordinate
    else:
        value = edges[0] + coordinate * (edges[1] - edges[0])
    if distribution.step and not distribution.log:
        value = low + round((value - low) / distribution.step) * distribution.step
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else float(value)
