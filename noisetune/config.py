"""TrialConfig: everything that decides a trial's result, as one frozen tree read from YAML."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from noisetune import data as data_plugins
from noisetune import models as model_plugins
from noisetune import noise as noise_plugins
from noisetune import ssl as ssl_plugins
from noisetune.data.base import DataConfig, ImageData
from noisetune.data.digits import Config as Digits
from noisetune.models.base import ModelConfig
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.noise.base import NoiseConfig
from noisetune.noise.symmetric import Config as Symmetric
from noisetune.plugins import PluginConfig, choices, section
from noisetune.protocols import merged, recipe_of
from noisetune.ssl.base import PretrainConfig, SSLConfig
from noisetune.ssl.simclr import Config as SimCLR
from noisetune.stages.scores import FILTERS
from noisetune.training import speed
from noisetune.training.augment import AugmentConfig
from noisetune.training.optimisation import Optimisation
from noisetune.training.representation import TelemetryConfig
from noisetune.training.runtime import Runtime
from noisetune.yaml_files import explain, read_yaml

SELECTORS = {"data": "name", "noise": "model", "model": "name", "pretrain": "method"}
"""The key that chooses a plug-in, for each section that is one."""

COMPILE_STEPS = 10_000
"""From so many training steps on, compilation (about a minute) repays itself on a GPU."""

PLUGINS: dict[str, dict[str, type[PluginConfig]]] = {
    "data": choices(data_plugins, "name"),
    "noise": choices(noise_plugins, "model"),
    "model": choices(model_plugins, "name"),
    "pretrain": choices(ssl_plugins, "method"),
}

if TYPE_CHECKING:
    AnyData = DataConfig
    AnyNoise = NoiseConfig
    AnyModel = ModelConfig
    AnyPretrain = PretrainConfig
else:
    AnyData, AnyNoise, AnyModel, AnyPretrain = (
        section(PLUGINS[name], SELECTORS[name]) for name in SELECTORS
    )


FinetuneAugment = Annotated[
    Annotated[AugmentConfig, Tag(AugmentConfig.__name__)]
    | Annotated[Literal["ssl"], Tag("literal[ssl]")],
    Discriminator(lambda raw: "literal[ssl]" if isinstance(raw, str) else AugmentConfig.__name__),
]
"""Told apart first, so that an error is one of the kind that was meant."""


class FinetuneConfig(Optimisation):
    """Fine-tuning by cross-entropy on the noisy labels.

    `train` says what of the network: `all` of it; the `head` alone, on a frozen backbone; or the
    head for `probe_epochs` of the `epochs`, then all. `augment` replaces the augmentation that
    the data set names; `ssl` is the data set's one for pre-training, of which one view is taken.
    """

    train: Literal["all", "head", "probe_then_tune"] = "all"
    """`all` weights; the `head` alone, on a frozen backbone (batch-norm statistics too);
    `probe_then_tune`: first the head, then all."""
    probe_epochs: int = Field(default=5, ge=1)
    """With `probe_then_tune`: so many of `epochs` train the head; the schedule and the head's
    optimiser state go on, the backbone's begins."""
    augment: FinetuneAugment | None = None
    """Null for the data set's own way; or `ssl`: one view as the data set's pre-training makes
    them."""

    @model_validator(mode="after")
    def _tunes_after_the_probe(self) -> Self:
        if self.train == "probe_then_tune" and self.probe_epochs >= self.epochs:
            raise ValueError(
                f"probe_epochs: {self.probe_epochs}: must be fewer than the {self.epochs} epochs, "
                "so that some are left to train all; or set train: head"
            )
        return self

    @property
    def frozen_epochs(self) -> int:
        """How many of the first epochs train the head alone."""
        return {"all": 0, "head": self.epochs, "probe_then_tune": self.probe_epochs}[self.train]


class DetectConfig(BaseModel):
    """Label-error detection by confident learning (Northcutt et al. 2021).

    `filter_by` is cleanlab's; `checkpoint` says which network gives the probabilities: that of
    the epoch `selected` by noisy validation accuracy, or the `last` one. `test_seed` is the seed of
    the noise of test labels: its `own`, or that of the `training` labels. With `folds` the labels
    of the training set are judged too, by cross-validation: see `noisetune.stages.crossval`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    filter_by: Literal[FILTERS] = "prune_by_noise_rate"  # type: ignore[valid-type]
    """A filter of cleanlab's `find_label_issues`."""
    checkpoint: Literal["selected", "last"] = "selected"
    """Probabilities of the epoch `selected` by noisy validation, or of the `last`."""
    test_seed: Literal["own", "training"] = "own"
    """Seed of the noise of the test labels: their `own`, or that of the `training` labels."""
    folds: int | None = Field(default=None, ge=2)
    """Also judge the labels of the training set, by cross-validation in so many folds: for each,
    one more fine-tuning from the same encoder, on the other folds. Under `checkpoint: selected` a
    part of those, `data.validation_fraction` of them, is held out to choose the epoch; under `last`
    none is. Their scores are `detect/cv_...`."""


class TrialConfig(BaseModel):
    """One configuration through the whole pipeline.

    `replicate` is the only source of randomness: another one is another split, other wrong
    labels, other weights and batches. Under `pretrain_seed: shared` every replicate uses the
    encoder of replicate 0. The `protocol` says what the fields are that are left out: it decides
    nothing by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Literal["standard", "paper"] = "standard"
    """What the fields are that are left out; it decides nothing by itself."""
    data: AnyData = Field(default_factory=Digits)
    """The images, and which part of them is held out."""
    noise: AnyNoise = Field(default_factory=Symmetric)
    """How labels become wrong."""
    model: AnyModel = Field(default_factory=ResNet18)
    """The backbone."""
    pretrain: AnyPretrain = Field(default_factory=SimCLR)
    """How the encoder begins, before it sees a label."""
    finetune: FinetuneConfig = Field(default_factory=FinetuneConfig)
    """Training on the noisy labels."""
    detect: DetectConfig = Field(default_factory=DetectConfig)
    """How label errors are found."""
    telemetry: TelemetryConfig | None = None
    """Looks at the encoder while it is pre-trained; null for none, `{}` for the usual."""
    runtime: Runtime = Field(default_factory=Runtime)
    """Where and how the trial computes."""
    replicate: Annotated[int, Field(ge=0)] = 0
    """The only source of randomness: another one is another split, other wrong labels, other
    weights."""
    pretrain_seed: Literal["per_replicate", "shared"] = "per_replicate"
    """`shared`: every replicate uses the encoder of replicate 0."""

    @model_validator(mode="before")
    @classmethod
    def _with_what_is_left_out(cls, raw: Any) -> Any:
        return with_selectors(with_protocol(raw))

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Self:
        parts = self.data.validation_fraction, self.data.detection_fraction
        if "test" not in self.noise.parts and sum(parts) >= 1:
            raise ValueError(
                f"data: validation_fraction {parts[0]} and detection_fraction {parts[1]} leave "
                f"nothing to train on ({self.noise.model} noise has no test labels); lower them"
            )
        return self

    @model_validator(mode="after")
    def _begins_with_this_backbone(self) -> Self:
        self.pretrain.check_model(self.model)
        return self

    @model_validator(mode="after")
    def _looks_at_prefixes(self) -> Self:
        method, early = self.pretrain, self.looked_at()
        if early and isinstance(method, SSLConfig) and not method.horizon_free:
            raise ValueError(
                f"telemetry.epochs: {early[0]}: a {method.schedule} schedule is worth looking at "
                f"only after its last epoch ({method.epochs}), which is looked at in any case; "
                "leave epochs out, or set pretrain.schedule: constant"
            )
        return self

    def looked_at(self) -> tuple[int, ...]:
        """The pre-training epochs before the last that telemetry is asked for."""
        if self.telemetry is None or not isinstance(self.pretrain, SSLConfig):
            return ()
        return tuple(each for each in self.telemetry.epochs if each < self.pretrain.epochs)

    @classmethod
    def parse(cls, raw: Any, source: str) -> "TrialConfig":
        """A validated configuration; UserError, naming `source`, for anything wrong in it."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise explain(error, source, cls) from None

    @classmethod
    def read(cls, path: Path) -> "TrialConfig":
        return cls.parse(read_yaml(path), str(path))

    def resolve(
        self,
        cpus: float | None = None,
        gpus: float | None = None,
        data: ImageData | None = None,
    ) -> "TrialConfig":
        """The same configuration with nothing `auto` in it.

        What depends on the images is settled by `data`, which is loaded only where it is needed.
        """
        choose = None if not speed.measuring() else lambda known: self._choose(known, data)
        return self.model_copy(update={"runtime": self.runtime.resolve(cpus, gpus, choose)})

    def _choose(self, runtime: Runtime, data: ImageData | None) -> Runtime:
        compiled = runtime.compile
        if compiled == "auto":
            compiled = False
            if runtime.device == "cuda":
                data = data or self.data.load()
                compiled = self.steps(len(data.x_train)) >= COMPILE_STEPS
        runtime = runtime.model_copy(update={"compile": compiled})
        if not runtime.depends_on_trial:
            return runtime
        return speed.fastest(self.model, (data or self.data.load()).shape, runtime)

    def steps(self, images: int) -> int:
        """Training steps of both stages on so many training images."""
        both = (self.pretrain, self.finetune)
        stages = [each for each in both if isinstance(each, Optimisation)]
        return sum(each.epochs * max(1, images // each.batch_size) for each in stages)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def with_protocol(raw: Any) -> Any:
    """`raw` with what its protocol says of the fields that it leaves out."""
    if not isinstance(raw, dict):
        return raw
    whole = merged(recipe := recipe_of(raw), raw)
    for name, selector in SELECTORS.items():
        section = whole.get(name)
        if name not in recipe or not isinstance(section, dict):
            continue
        plugin = PLUGINS[name].get(str(section.get(selector, default_choice(name))))
        known = {} if plugin is None else plugin.model_fields
        given = raw.get(name) or {}
        whole[name] = {key: value for key, value in section.items() if key in known or key in given}
    return whole


def with_selectors(raw: Any) -> Any:
    """`raw` with the default plug-in named in each section that leaves it out."""
    if not isinstance(raw, dict):
        return raw
    filled = dict(raw)
    for name, selector in SELECTORS.items():
        given = filled.get(name)
        if isinstance(given, dict) and selector not in given:
            filled[name] = {selector: default_choice(name)} | given
    return filled


def default_choice(name: str, raw: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The plug-in that section `name` has where the YAML, `raw`, names none."""
    said = recipe_of(raw).get(name, {}).get(SELECTORS[name])
    return said or getattr(getattr(TrialConfig(), name), SELECTORS[name])
