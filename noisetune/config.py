"""TrialConfig: everything that decides a trial's result, as one frozen tree read from YAML."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
from noisetune.ssl.base import PretrainConfig
from noisetune.ssl.simclr import Config as SimCLR
from noisetune.stages.scores import FILTERS
from noisetune.training import measured
from noisetune.training.augment import AugmentConfig
from noisetune.training.optimisation import Optimisation
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


class FinetuneConfig(Optimisation):
    """Fine-tuning of the whole network by cross-entropy on the noisy labels.

    `augment` replaces the augmentation that the data set names.
    """

    augment: AugmentConfig | None = None


class DetectConfig(BaseModel):
    """Label-error detection by confident learning (Northcutt et al. 2021).

    `filter_by` is cleanlab's; `checkpoint` says which network gives the probabilities: that of
    the epoch `selected` by noisy validation accuracy, or the `last` one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    filter_by: Literal[FILTERS] = "prune_by_noise_rate"  # type: ignore[valid-type]
    checkpoint: Literal["selected", "last"] = "selected"


class TrialConfig(BaseModel):
    """One configuration through the whole pipeline.

    `replicate` is the only source of randomness: another one is another split, other wrong
    labels, other weights and batches. Under `pretrain_seed: shared` every replicate uses the
    encoder of replicate 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: AnyData = Field(default_factory=Digits)
    noise: AnyNoise = Field(default_factory=Symmetric)
    model: AnyModel = Field(default_factory=ResNet18)
    pretrain: AnyPretrain = Field(default_factory=SimCLR)
    finetune: FinetuneConfig = Field(default_factory=FinetuneConfig)
    detect: DetectConfig = Field(default_factory=DetectConfig)
    runtime: Runtime = Field(default_factory=Runtime)
    replicate: Annotated[int, Field(ge=0)] = 0
    pretrain_seed: Literal["per_replicate", "shared"] = "per_replicate"

    @classmethod
    def parse(cls, raw: Any, source: str) -> "TrialConfig":
        """A validated configuration; UserError, naming `source`, for anything wrong in it."""
        try:
            return cls.model_validate(with_selectors(raw))
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
        choose = None if not measured.measuring() else lambda known: self._choose(known, data)
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
        return measured.fastest(self.model, (data or self.data.load()).shape, runtime)

    def steps(self, images: int) -> int:
        """Training steps of both stages on so many training images."""
        both = (self.pretrain, self.finetune)
        stages = [each for each in both if isinstance(each, Optimisation)]
        return sum(each.epochs * max(1, images // each.batch_size) for each in stages)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


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


def default_choice(name: str) -> str:
    """The plug-in that section `name` has where the YAML names none."""
    return getattr(getattr(TrialConfig(), name), SELECTORS[name])
