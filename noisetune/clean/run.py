"""One run of `noisetune clean`: what is read, planned, computed and written, in this order."""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisetune.clean.duplicates import find_duplicates
from noisetune.clean.findings import Findings, issues_csv, noise_json
from noisetune.clean.folder import (
    CONFIG,
    ISSUES,
    NOISE,
    PAGE,
    begin,
    check_place,
    identity,
    is_begun,
)
from noisetune.clean.looking import check, look
from noisetune.clean.page import page
from noisetune.clean.pictures import Pictures, read_pictures
from noisetune.clean.preset import Plan, plan_of, preset, read_plan, write_plan
from noisetune.clean.reading import read_source
from noisetune.clean.source import require_classes
from noisetune.clean.verdicts import JUDGE, judge
from noisetune.errors import UserError
from noisetune.files import write_output
from noisetune.memory import give_freed_memory_back
from noisetune.records import Event, Tick
from noisetune.store import StoreLike
from noisetune.training.loop import DivergedError
from noisetune.yaml_files import read_trial_yaml


@dataclass(frozen=True)
class Asked:
    """What a person asked for: the folder to write, the time in minutes, and beside it the content
    of a configuration, with its name, the number of rounds and the size (H, W) of the images."""

    out: Path
    minutes: float
    given: Mapping[str, Any] | None = None
    source: str = ""
    rounds: int | None = None
    size: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "minutes": None if self.given is not None else self.minutes,
            "config": self.given,
            "rounds": self.rounds,
            "size": self.size,
        }


@dataclass(frozen=True)
class Prepared:
    """Images and a plan for them; `begun` says that an earlier run is gone on with."""

    pictures: Pictures
    plan: Plan
    begun: bool


def prepare(data: Path, asked: Asked, say: Callable[[str], None]) -> Prepared:
    """Read the data, and plan what is computed; nothing is written but the folder's beginning.

    UserError for data, folder or settings that will not do.
    """
    check_place(asked.out, data)
    source = read_source(data)
    require_classes(source)
    known = json.loads(json.dumps(identity(source, asked.to_json())))
    begun = is_begun(asked.out, known)
    pictures = read_pictures(source, asked.size)
    give_freed_memory_back()
    say(f"{len(pictures.source)} images of {len(pictures.data.class_names)} classes were read")
    plan = _plan(pictures, asked, begun)
    check(plan.config, pictures.data, plan.patches)
    begin(asked.out, known)
    write_plan(asked.out / CONFIG, plan)
    return Prepared(pictures, plan, begun)


def _plan(pictures: Pictures, asked: Asked, begun: bool) -> Plan:
    """That of the run that is gone on with, or what is asked for, or a preset."""
    before = asked.out / CONFIG
    if begun and before.is_file():
        return read_plan(read_trial_yaml(before), pictures.data, str(before), None)
    if asked.given is not None:
        return read_plan(asked.given, pictures.data, asked.source, asked.rounds)
    plan = preset(pictures.data, asked.minutes)
    if asked.rounds in (None, plan.rounds):
        return plan
    return plan_of(plan.config, pictures.data, asked.rounds or 1, plan.patches)


def compute(prepared: Prepared, store: StoreLike) -> Generator[Event, None, Findings]:
    """Look at all images and judge them; what was computed before comes from the store.

    UserError where the settings let a network diverge.
    """
    pictures, plan = prepared.pictures, prepared.plan
    try:
        seen = yield from look(plan.config, pictures.data, store, plan.rounds, plan.patches)
    except DivergedError as error:
        raise UserError(
            f"the networks diverged: {error}; give --config with a lower learning rate"
        ) from error
    yield Tick(JUDGE, 0.0)
    verdicts = judge(seen, plan.config.detect.detectors)
    yield Tick(JUDGE, 0.5)
    features = seen.neighbours.features
    duplicates = find_duplicates(pictures.contents, features, pictures.data.x_train)
    yield Tick(JUDGE, 1.0)
    return Findings(
        pictures,
        verdicts,
        duplicates,
        folds=plan.config.detect.folds or 0,
        rounds=plan.rounds,
    )


def write_findings(folder: Path, found: Findings) -> None:
    """Write issues.csv, noise.json and page.html into the folder."""
    write_output(folder / ISSUES, issues_csv(found), "--out")
    write_output(folder / NOISE, json.dumps(noise_json(found), indent=1) + "\n", "--out")
    write_output(folder / PAGE, page(found), "--out")
