"""Checkpoint: fine-tuning starts from weights in a file, or from a stage of the store."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from noisetune.errors import UserError
from noisetune.models.base import ModelConfig, Size
from noisetune.records import FINETUNE, PRETRAIN
from noisetune.ssl.base import GivenEncoder
from noisetune.store import StageKey, StoreLike
from noisetune.training.loop import strip
from noisetune.training.weights import fit_weights, read_weights

PREFIXES = {PRETRAIN: "network.encoder", FINETUNE: "selected.backbone"}
"""Under which names each stage of the store keeps a backbone."""


class Config(GivenEncoder):
    """The whole backbone, by our own or torchvision's names, from `path` or from `stage`.

    `path` is a .safetensors file or a state dict of torch.save; `stage` is a digest as
    `noisetune store ls` shows it, or more of it, `step` its epochs where it has several entries.
    `prefix` is what the backbone's names begin with; a stage knows its own.
    """

    method: Literal["checkpoint"] = "checkpoint"
    path: Path | None = None
    """A `.safetensors` file, or a state dict of `torch.save`."""
    prefix: str | None = None
    """What comes before the encoder's names in the file, such as `network.encoder.`; names are ours
    or torchvision's. A stage knows its own."""
    stage: str | None = Field(default=None, pattern=r"^[0-9a-f]{8,32}$")
    """Instead of `path`: a pre-training or fine-tuning of this store, by its key as
    `noisetune store ls` shows it; quote it."""
    step: int | None = Field(default=None, ge=0)
    """Which entry of `stage`, by its epochs; null for the only one."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.stage is None):
            raise ValueError("method checkpoint: give one of path and stage")
        if self.step is not None and self.stage is None:
            raise ValueError("step: it chooses an entry of a stage; leave it out beside path")
        return self

    def encoder(
        self, model: ModelConfig, channels: int, size: Size, store: StoreLike
    ) -> dict[str, Tensor]:
        if self.path is not None:
            source, prefix = f"pretrain.path: {self.path}", self.prefix or ""
            tensors = read_weights(self.path, "pretrain.path")
        else:
            source = f"pretrain.stage: {self.stage}"
            tensors, prefix = self._stored(store, source)
        chosen = strip(prefix.rstrip("."), tensors) if prefix else tensors
        if not chosen:
            there = ", ".join(sorted(tensors)[:3])
            raise UserError(
                f"{source}: pretrain.prefix {prefix!r}: no tensor's name begins so; they begin "
                f"with {there}; give what comes before the backbone's own names"
            )
        return fit_weights(model.own_names(chosen), model.state(channels, size), source)

    def _stored(self, store: StoreLike, source: str) -> tuple[dict[str, Tensor], str]:
        """The tensors of the one entry that is meant, and where a backbone is among them."""
        entries = [
            entry
            for entry in store.list()
            if entry.stage in PREFIXES
            and entry.digest.startswith(str(self.stage))
            and self.step in (None, entry.step)
        ]
        shown = ", ".join(f"{entry.digest[:12]} with step {entry.step}" for entry in entries)
        if len(entries) != 1:
            raise UserError(
                f"{source}: must name one entry of the store (pretraining or fine-tuning), but it "
                f"names {shown or 'none'}; `noisetune store ls` lists them; give pretrain.step or "
                "more of the digest, or the file itself as pretrain.path"
            )
        (entry,) = entries
        found = store.load(StageKey(entry.stage, entry.version, entry.inputs), entry.step)
        if found is None:
            raise UserError(f"{source}: its entry is damaged or gone; compute it again")
        return found.tensors, self.prefix or PREFIXES[entry.stage]
