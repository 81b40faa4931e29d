"""SweepConfig: what to run, as a person writes it, and where its search space is."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from noisetune.errors import UserError
from noisetune.section import Section
from noisetune.sizes import parse_size
from noisetune.sweep.spec.comparisons import (
    POINT,
    Comparisons,
    Growing,
    Replicates,
    Searches,
)
from noisetune.sweep.spec.objective import Objective
from noisetune.sweep.spec.overrides import override_all
from noisetune.sweep.spec.pretrain_gate import PretrainGate
from noisetune.sweep.spec.pruners import check_pruner, name_of
from noisetune.sweep.spec.resources import Budget, Resources
from noisetune.sweep.spec.samplers import SamplerKind, check_sampler, check_several, kind_of
from noisetune.sweep.spec.settings import DrawnSettings
from noisetune.yaml_files import explain, read_yaml

NO_RESULTS = "smoke run: every condition in small; its figures are no results"
NAME_RULE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")


class SweepConfig(Section):
    """A sweep: what is fixed, what is searched, by which engine, and on how much of the machine."""

    name: str
    """Of its folder, its ledger and its MLflow experiment: letters, digits, `.`, `_` and `-`, at
    most 100, the first a letter or digit."""
    search_space: str
    """A name in search_spaces/, or a path relative to the sweep's file."""
    trial: dict[str, Any] = Field(default_factory=dict)
    """The fixed part of every trial."""
    objective: Objective = Field(default_factory=Objective)
    """What is optimised inside each condition."""
    sampler: dict[str, Any] = Field(default_factory=lambda: {"name": "tpe"})
    """Its `name`, a `seed` (0), and keyword arguments of Optuna's class, listed below."""
    pruner: dict[str, Any] = Field(default_factory=lambda: {"name": "median"})
    """Its `name` and keyword arguments of Optuna's class, listed below. Steps are fine-tuning
    epochs. With several goals `none`, by itself."""
    trials_per_condition: int = Field(default=8, ge=1)
    """Search trials in each condition, unless `replicates` are searches, or there are `settings`:
    they say how many."""
    pretraining_designs: int | None = Field(default=None, ge=1, le=10_000)
    """Draw so many settings of the `pretrain.*` parameters once, for all conditions to share:
    Optuna then chooses among them (`pretrain.design`), and each is computed once."""
    settings: DrawnSettings | None = None
    """Draw settings of all parameters once for each method, and run all of them in each of its
    conditions: equal trials, and the same ones at every noise rate."""
    pretrain_gate: PretrainGate = Field(default_factory=PretrainGate)
    """Stops a trial between pre-training and fine-tuning."""
    replicates: Replicates = 3
    """Runs of each condition's winner on fresh seeds: a number, or where they are needed. Or its
    whole search on fresh seeds."""
    comparisons: Comparisons = Field(default_factory=Comparisons)
    """Which differences between conditions are judged."""
    resources: Resources = Field(default_factory=Resources)
    """What each trial holds."""
    max_concurrent: int | None = Field(default=None, ge=1)
    """At most so many trials at once, null for what fits; 1 lets the sampler know every result
    before it asks again."""
    repeatable: bool = False
    """One search trial of each condition at a time, so that the same file gives the same trials at
    any concurrency; conditions still run side by side, and so do replicates."""
    store_limit: str | None = None
    """Remove the stages used longest ago once the store holds more than this: `20G`."""
    budget: Budget = Field(default_factory=Budget)
    """Where the sweep stops."""
    patience: int | None = Field(default=None, ge=1)
    """A condition's search ends early once so many trials in a row improved nothing."""
    enqueue: tuple[dict[str, Any], ...] = ()
    """Settings to try first: `[{finetune.lr: 1.0e-3}]`. One in part stands, under `grid` and
    `brute_force`, for every setting that agrees with it."""
    warm_start: tuple[str, ...] = ()
    """Names of earlier sweeps whose trials the sampler starts from."""
    replicate: tuple[str, ...] = ()
    """With several goals, where nothing wins: the trials, by name, that are run again."""
    smoke: bool | None = None
    """Marks a sweep in small, whose figures are no results: its tables begin with a line that says
    so."""

    @model_validator(mode="before")
    @classmethod
    def _several_goals_prune_nothing(cls, raw: Any) -> Any:
        goals = raw.get("objective") if isinstance(raw, dict) else None
        if isinstance(goals, dict) and goals.get("also") and "pruner" not in raw:
            return raw | {"pruner": {"name": "none"}}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _drawn_settings_are_all_run(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("settings") is None:
            return raw
        sampler = raw.get("sampler", {})
        named = {"name": "grid"} | sampler if isinstance(sampler, dict) else sampler
        return {"pruner": {"name": "none"}} | raw | {"sampler": named}

    @model_validator(mode="after")
    def _nothing_chooses_among_drawn_settings(self) -> Self:
        """What would run some of the settings alone, or others."""
        others = {
            f"sampler: {self.sampler.get('name')}": not self.sampler_kind.exhaustive,
            f"pruner: {self.pruner_name}": self.prunes,
            "pretraining_designs": self.pretraining_designs is not None,
            "replicates.of: search": self.searches is not None,
            "patience": self.patience is not None,
            "warm_start": bool(self.warm_start),
            "enqueue": bool(self.enqueue),
        }
        found = [name for name, there in others.items() if there]
        if self.settings is not None and found:
            raise ValueError(
                f"settings: they are drawn once, and all of them run to their end; {found[0]} does "
                "not go with that: take one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _goals_and_their_engine(self) -> Self:
        if not self.objective.several:
            if self.replicate:
                raise ValueError(
                    "replicate: with one goal each winner is run again by itself; take it out"
                )
            return self
        if self.shared_across:
            raise ValueError(
                "settings.shared_across: with several goals nothing wins, so no setting is best "
                "over conditions; take it out"
            )
        if self.growing is not None:
            raise ValueError(
                "replicates: with several goals nothing wins, so nothing is compared and no "
                "comparison can ask for more; give a number"
            )
        if self.prunes:
            raise ValueError(
                f"pruner: {self.pruner_name!r}: Optuna prunes by one goal, and "
                f"objective.also gives {len(self.objective.goals)}; set pruner: {{name: none}}"
            )
        check_several(self.sampler)
        return self

    @model_validator(mode="after")
    def _searches_are_whole(self) -> Self:
        if self.searches is None:
            return self
        shared = "so that its searches are not each begun anew; take one of the two out"
        if self.objective.several:
            raise ValueError(
                "replicates.of: search: with several goals nothing wins a search; give a number"
            )
        if self.warm_start:
            raise ValueError(
                f"warm_start: earlier trials would be known to all replicates.of: search, {shared}"
            )
        if self.pretraining_designs is not None:
            raise ValueError(
                f"pretraining_designs: they are drawn once for all replicates.of: search, {shared}"
            )
        return self

    @property
    def shared_across(self) -> tuple[str, ...]:
        """The factors over which one setting is chosen, too; none where each condition has its
        own alone."""
        return () if self.settings is None else self.settings.shared_across

    @property
    def searches(self) -> Searches | None:
        """The searches that are replicates; None where the winner of one search runs again."""
        return self.replicates if isinstance(self.replicates, Searches) else None

    @property
    def search_trials(self) -> int:
        """Trials of a search."""
        if self.settings is not None:
            return self.settings.count
        return self.trials_per_condition if self.searches is None else self.searches.trials

    @property
    def search_trials_field(self) -> str:
        """The field that says how many they are."""
        if self.settings is not None:
            return "settings.count"
        return "trials_per_condition" if self.searches is None else "replicates.trials"

    @property
    def _count(self) -> int | Growing:
        return self.replicates.count if isinstance(self.replicates, Searches) else self.replicates

    @property
    def growing(self) -> Growing | None:
        """How replicates grow; None where their number is given."""
        return self._count if isinstance(self._count, Growing) else None

    @property
    def first_replicates(self) -> int:
        """Replicates that every condition gets."""
        return self._count.first if isinstance(self._count, Growing) else self._count

    @property
    def most_replicates(self) -> int:
        """Replicates that a condition gets at most."""
        return self._count.at_most if isinstance(self._count, Growing) else self._count

    @property
    def margin(self) -> float | None:
        """The difference (0..1) within which conditions are called equal; None: they never are."""
        points = self.comparisons.equal_within
        if points is None and self.growing is not None:
            points = self.growing.until.difference
        return None if points is None else points * POINT

    @property
    def seed(self) -> int:
        """The sweep's seed: every ask derives its own from it, the condition and the number."""
        return int(self.sampler.get("seed", 0))

    @property
    def sampler_kind(self) -> SamplerKind:
        """The sampler, and what it is like."""
        return kind_of(self.sampler)

    @property
    def pruner_name(self) -> str:
        """What the pruner is called in YAML; one without a name is the median pruner."""
        return name_of(self.pruner)

    @property
    def prunes(self) -> bool:
        """Whether a trial may be stopped between its epochs."""
        return self.pruner_name != "none"

    @field_validator("name")
    @classmethod
    def _stays_in_its_folder(cls, name: str) -> str:
        if not NAME_RULE.match(name):
            raise ValueError(
                "a sweep's name is letters, digits, '.', '_' and '-', begins with a letter or "
                "digit, and has at most 100 of them"
            )
        return name

    @field_validator("sampler")
    @classmethod
    def _sampler(cls, settings: dict[str, Any]) -> dict[str, Any]:
        check_sampler(settings)
        return settings

    @field_validator("store_limit")
    @classmethod
    def _size(cls, limit: str | None) -> str | None:
        if limit is not None:
            parse_size(limit)
        return limit

    @field_validator("pruner")
    @classmethod
    def _pruner(cls, settings: dict[str, Any]) -> dict[str, Any]:
        check_pruner(settings)
        return settings


def parse_sweep(raw: Any, source: str) -> SweepConfig:
    """A validated sweep; UserError, naming `source`, for anything wrong in it."""
    try:
        return SweepConfig.model_validate(raw)
    except ValidationError as error:
        raise explain(error, source, SweepConfig) from None


def read_sweep(path: Path, name: str | None = None, settings: Sequence[str] = ()) -> SweepConfig:
    """The sweep in a YAML file, under another `name`, with `settings` (field=value) put over it."""
    raw = read_yaml(path)
    if isinstance(raw, dict):
        raw = override_all(raw, settings)
        raw = raw if name is None else raw | {"name": name}
    return parse_sweep(raw, str(path))


def find_search_space(reference: str, sweep_file: Path) -> Path:
    """The file that a sweep's `search_space` names.

    A name is looked up in search_spaces/ beside the folder of the sweep's file, then in that of
    the working folder; a path is relative to the sweep's file. Raises UserError.
    """
    folders = [sweep_file.parent.parent / "search_spaces", Path("search_spaces")]
    if NAME_RULE.match(reference) and not reference.endswith((".yaml", ".yml")):
        candidates = [folder / f"{reference}.yaml" for folder in folders]
    else:
        # Of another file, which a stranger may name, no line is to stand in a message.
        is_yaml = reference.endswith((".yaml", ".yml"))
        candidates = [sweep_file.parent / reference] if is_yaml else []
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    spaces = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise UserError(
        f"{sweep_file}: search_space: {reference!r} is not found; give one of "
        f"{', '.join(spaces) or '(none there)'} or the path of a file"
    )
