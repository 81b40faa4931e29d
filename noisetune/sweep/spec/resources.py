"""What of the machine a trial holds, and how much of it a sweep may use."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from noisetune.section import Section


class Resources(Section):
    """The share of the machine that each trial holds, or `resources: auto`."""

    cpu: float = Field(default=1.0, gt=0.0)
    """CPUs."""
    gpu: float = Field(default=0.0, ge=0.0)
    """GPUs; a fraction is of one GPU, and above one it is a whole number."""
    gpu_on: dict[str, float] = {}
    """The share on hosts whose GPU Ray calls so (`accelerator_type:NAME` in `ray status`), above 0
    and at most 1, where it is not that of `gpu`: {H100: 0.1, T4: 1}."""
    auto: bool = False
    """What `resources: auto` stands for: one CPU, and the share of a GPU that the largest trial
    needs, measured on a few batches when the sweep starts."""

    @model_validator(mode="before")
    @classmethod
    def _auto(cls, raw: Any) -> Any:
        return {"auto": True} if raw == "auto" else raw

    @property
    def known_gpu(self) -> float | None:
        """The share of a GPU; None while it is still to be measured."""
        return None if self.auto else self.gpu

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float) -> float:
        if gpu > 1 and gpu != int(gpu):
            raise ValueError("a share above one GPU must be a whole number of GPUs")
        return gpu

    @model_validator(mode="after")
    def _shares_of_one(self) -> Self:
        for host, share in self.gpu_on.items():
            if not 0 < share <= 1:
                raise ValueError(f"gpu_on: {host}: {share:g}: give a share above 0 and at most 1")
        if self.gpu_on and not 0 < self.gpu <= 1:
            raise ValueError(
                "gpu_on: goes with a share `gpu` of the other hosts that is above 0 and at most 1"
            )
        return self

    def share_on(self, kind: str | None, gpu: float) -> float:
        """What a trial that has the share `gpu` elsewhere holds on a host of this kind."""
        if kind is None or kind not in self.gpu_on:
            return gpu
        # Ray counts in steps of 1e-4.
        return min(1.0, round(gpu * self.gpu_on[kind] / self.gpu, 4))


class Budget(Section):
    """Where a sweep stops, over all its resumes; a field that is null stops nothing.

    The replicates of every condition are reserved first; where they are searches, one search of
    every condition goes before the next.
    """

    gpu_hours: float | None = Field(default=None, gt=0.0)
    """Share of a GPU times the hours that it is held."""
    hours: float | None = Field(default=None, gt=0.0)
    """Hours that the sweep runs."""
    trials: int | None = Field(default=None, ge=1)
    """Trials, search and replicates together."""
