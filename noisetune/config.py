"""TrialConfig: everything that decides a trial's result, as one frozen tree read from YAML."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import GenericAlias, MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from noisetune import data as data_plugins
from noisetune import detectors as detector_plugins
from noisetune import finetuning as finetuning_plugins
from noisetune import models as model_plugins
from noisetune import noise as noise_plugins
from noisetune import ssl as ssl_plugins
from noisetune.data.base import DataConfig, ImageData
from noisetune.detectors.base import DetectConfig
from noisetune.errors import UserError
from noisetune.finetuning.base import PROBE, FinetuneConfig
from noisetune.models.base import ModelConfig
from noisetune.noise.base import NoiseConfig
from noisetune.plugins import Choices, PluginConfig, choices, section
from noisetune.protocols import STANDARD, merged, protocol_of, recipe_of
from noisetune.section import Section
from noisetune.ssl.base import GivenFeatures, PretrainConfig, SSLConfig
from noisetune.training import speed
from noisetune.training.memory_format import check_memory_format
from noisetune.training.optimisation import Optimisation
from noisetune.training.representation import TelemetryConfig
from noisetune.training.runtime import Runtime
from noisetune.yaml_files import explain, read_trial_yaml

SELECTORS = {
    "data": "name",
    "noise": "model",
    "model": "name",
    "pretrain": "method",
    "finetune": "method",
    "detect": "method",
}
"""The key that chooses a plug-in, for each section that is one."""

COMPILE_STEPS = 10_000
"""From so many training steps on, compilation (about a minute) repays itself on a GPU."""

DETECTORS = choices(detector_plugins, SELECTORS["detect"])
AnyDetector: Any = section(DETECTORS, SELECTORS["detect"])


def _detection(detectors: Choices) -> Choices:
    """Each detector with what all of them share, so that both stand in one section."""
    composed = Choices()
    composed.broken = detectors.broken
    also = GenericAlias(tuple, (AnyDetector, ...)), Field(default=())
    fields: dict[str, Any] = {"also": also}
    shared = create_model(
        DetectConfig.__name__,
        __base__=DetectConfig,
        __module__=DetectConfig.__module__,
        __doc__=DetectConfig.__doc__,
        **fields,
    )
    for name, detector in detectors.items():
        composed[name] = create_model(
            detector.__name__,
            __base__=(detector, shared),
            __module__=detector.__module__,
            __doc__=detector.__doc__,
        )
    return composed


PLUGINS: dict[str, Choices] = {
    "data": choices(data_plugins, SELECTORS["data"]),
    "noise": choices(noise_plugins, SELECTORS["noise"]),
    "model": choices(model_plugins, SELECTORS["model"]),
    "pretrain": choices(ssl_plugins, SELECTORS["pretrain"]),
    "finetune": choices(finetuning_plugins, SELECTORS["finetune"]),
    "detect": _detection(DETECTORS),
}

if TYPE_CHECKING:
    AnyData = DataConfig
    AnyNoise = NoiseConfig
    AnyModel = ModelConfig
    AnyPretrain = PretrainConfig
    AnyFinetune = FinetuneConfig
    AnyDetect = DetectConfig
else:
    AnyData, AnyNoise, AnyModel, AnyPretrain, AnyFinetune, AnyDetect = (
        section(PLUGINS[name], SELECTORS[name]) for name in SELECTORS
    )


def default_choice(name: str, raw: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The plug-in that section `name` has where the YAML, `raw`, names none."""
    for protocol in (protocol_of(raw), STANDARD):
        for choice, config in PLUGINS[name].items():
            if protocol in config.default_under:
                return choice
    raise LookupError(f"{name}: no plug-in is the default under {STANDARD}")


def _default(name: str) -> Callable[[], Any]:
    return lambda: PLUGINS[name][default_choice(name)]()


class TrialConfig(Section):
    """One configuration through the whole pipeline."""

    protocol: Literal["standard", "paper"] = "standard"
    """What the fields are that are left out; it decides nothing by itself."""
    data: AnyData = Field(default_factory=_default("data"))
    """The images, and which part of them is held out."""
    noise: AnyNoise = Field(default_factory=_default("noise"))
    """How labels become wrong."""
    model: AnyModel = Field(default_factory=_default("model"))
    """The backbone."""
    pretrain: AnyPretrain = Field(default_factory=_default("pretrain"))
    """How the encoder begins, before it sees a label."""
    finetune: AnyFinetune = Field(default_factory=_default("finetune"))
    """Training on the noisy labels."""
    detect: AnyDetect = Field(default_factory=_default("detect"))
    """How label errors are found."""
    telemetry: TelemetryConfig | None = None
    """Looks at the encoder while it is pre-trained; null for none, `{}` for the usual."""
    runtime: Runtime = Field(default_factory=Runtime)
    """Where and how the trial computes."""
    replicate: Annotated[int, Field(ge=0)] = 0
    """The only source of randomness: another one is another split, other wrong labels, other
    weights. The test images are the same in all."""
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
    def _features_are_probed(self) -> Self:
        if not self.has_backbone and self.finetune.train != PROBE:
            raise ValueError(
                f"finetune.train: {self.finetune.train}: under pretrain.method "
                f"{self.pretrain.method} there is no backbone to train; set finetune.train: probe"
            )
        return self

    @model_validator(mode="after")
    def _has_the_matrix_that_is_read(self) -> Self:
        if self.finetune.reads_matrix and not self.noise.by_class:
            raise ValueError(
                f"finetune: method {self.finetune.method} is to read the true transition matrix, "
                f"and {self.noise.model} noise is not all in one: its labels hang on more than the "
                "clean class; let it estimate the matrix, or choose noise of the class alone"
            )
        return self

    @model_validator(mode="after")
    def _looks_at_prefixes(self) -> Self:
        if isinstance(self.pretrain, SSLConfig) and (early := self.looked_at()):
            self.pretrain.check_prefix(early[0])
        return self

    @model_validator(mode="after")
    def _folds_are_unseen(self) -> Self:
        reads = isinstance(self.pretrain, SSLConfig) and self.pretrain.reads_labels
        if reads and self.detect.folds is not None:
            raise ValueError(
                f"detect.folds: {self.detect.folds}: pretrain.method {self.pretrain.method} reads "
                "the labels of every fold, and none would be held out; leave folds out, or take a "
                "method that reads no label"
            )
        return self

    @model_validator(mode="after")
    def _detectors_differ(self) -> Self:
        labels = [detector.label for detector in self.detect.detectors]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(
                f"detect.also: {twice} looks at the trial already; each detector has scores under "
                "its own name, take it out"
            )
        return self

    @property
    def has_backbone(self) -> bool:
        """Whether `model` is read: features that are given have their network behind them."""
        return not isinstance(self.pretrain, GivenFeatures)

    @property
    def pretrain_replicate(self) -> int:
        """The replicate whose encoder this one fine-tunes, where it is pre-trained."""
        return 0 if self.pretrain_seed == "shared" else self.replicate

    def looked_at(self) -> tuple[int, ...]:
        """The pre-training epochs before the last that telemetry is asked for."""
        if self.telemetry is None or not isinstance(self.pretrain, SSLConfig):
            return ()
        return tuple(each for each in self.telemetry.epochs if each < self.pretrain.epochs)

    @classmethod
    def parse(cls, raw: Any, source: str) -> "TrialConfig":
        """A validated configuration; UserError, naming `source`, for anything wrong in it."""
        _refuse_broken(raw, source)
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise explain(error, source, cls) from None

    @classmethod
    def read(cls, path: Path) -> "TrialConfig":
        return cls.parse(read_trial_yaml(path), str(path))

    def resolve(
        self,
        cpus: float | None = None,
        gpus: float | None = None,
        data: ImageData | None = None,
    ) -> "TrialConfig":
        """The same configuration with nothing `auto` in it.

        What depends on the images is settled by `data`, which is loaded only where it is needed.
        UserError for a device that is not there, and for a memory format that the device fails at.
        """
        choose = None if not speed.measuring() else lambda known: self._choose(known, data)
        runtime = self.runtime.resolve(cpus, gpus, choose)
        if runtime.channels_last and runtime.device == "cpu" and self.has_backbone:
            check_memory_format(self.model, (data or self.data.load()).shape, runtime)
        return self.model_copy(update={"runtime": runtime})

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
        if not self.has_backbone:
            # A head is too small for any way to gain by.
            return speed.settle(runtime, {})
        shape = (data or self.data.load()).shape
        return speed.fastest(self.model, shape, runtime, self.batch)

    @property
    def batch(self) -> int:
        """Images in a step of the stage that comes first, which mostly is the longer one."""
        first = self.pretrain if isinstance(self.pretrain, SSLConfig) else self.finetune
        return first.batch_size

    def steps(self, images: int) -> int:
        """Training steps of both stages on a training set of so many images."""
        held_out = self.data.held_out(images, detection="test" not in self.noise.parts)
        stages: list[tuple[Optimisation, int]] = [(self.finetune, images - sum(held_out))]
        if isinstance(self.pretrain, SSLConfig):
            stages.append((self.pretrain, images))
        return sum(each.epochs * len(each.batches(count)) for each, count in stages)

    def written(self) -> dict[str, Path]:
        """The files and folders that a run writes, by the fields that name them."""
        return {
            f"{name}.{field}": path
            for name in SELECTORS
            for field, path in getattr(self, name).written().items()
        }

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def with_protocol(raw: Any) -> Any:
    """`raw` with what its protocol says of the fields that it leaves out."""
    if not isinstance(raw, dict):
        return raw
    whole = merged(recipe_of(raw), raw)
    for name, selector in SELECTORS.items():
        given = raw.get(name)
        if given is not None and not isinstance(given, dict):
            continue
        choice = str((given or {}).get(selector, default_choice(name, raw)))
        if choice in PLUGINS[name]:
            said = _said_of(PLUGINS[name][choice], recipe_of(raw).get(name, {}), protocol_of(raw))
            whole[name] = {selector: choice} | merged(said, given or {})
    return whole


def _said_of(
    plugin: type[PluginConfig], shared: Mapping[str, Any], protocol: str
) -> dict[str, Any]:
    """What a protocol says of a plug-in: of the fields that it shares, and of its own."""
    known = {field: value for field, value in shared.items() if field in plugin.model_fields}
    return known | dict(plugin.recipes.get(protocol, {}))


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


def _refuse_broken(raw: Any, source: str) -> None:
    """UserError for a plug-in that is there and could not be loaded, with the reason."""
    for name, selector in SELECTORS.items():
        given = raw.get(name) if isinstance(raw, dict) else None
        choice = given.get(selector) if isinstance(given, dict) else None
        if isinstance(choice, str) and choice in PLUGINS[name].broken:
            reason = PLUGINS[name].broken[choice]
            raise UserError(f"{source}: {name}.{selector}: {choice!r} cannot be loaded: {reason}")
