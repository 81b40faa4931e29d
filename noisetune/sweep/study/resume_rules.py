"""What a resume may change of a sweep: it may grow, but what its trials are must stay."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from noisetune.errors import UserError
from noisetune.records import TrialRecord
from noisetune.sweep.spec.config import SweepConfig, parse_sweep
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger

GROWS = (
    "trials_per_condition", "replicates", "resources", "max_concurrent", "store_limit", "budget",
    "patience", "search_space", "replicate", "repeatable",
)  # fmt: skip


def check_extension(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """UserError, with each difference, where a new definition is no extension of the old one.

    More values or bundles of a condition, more trials, replicates, budget and other resources are.
    """
    before, after = old["space"]["conditions"], new["space"]["conditions"]
    problems = [
        f"conditions.{field}: was {was}, is {now}"
        for field, values in before.items()
        for was, now in _changed(values, after.get(field, "gone"))
    ]
    problems += [f"conditions.{field}: is new" for field in after if field not in before]
    fixed_before = {"parameters": old["space"]["parameters"], **_fixed(old["sweep"])}
    fixed_after = {"parameters": new["space"]["parameters"], **_fixed(new["sweep"])}
    problems += _differences(fixed_before, fixed_after)
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise UserError(
            f"sweep {old['sweep']['name']!r} was begun otherwise:{listed}\n"
            "its trials would not be comparable; change these back, or begin a sweep of another "
            "name (with warm_start it can learn from this one)"
        )


def surplus(config: SweepConfig, records: Sequence[TrialRecord]) -> Iterator[str]:
    """What it means that a sweep now asks for fewer trials or replicates than it has, a line each.

    Trials that ended are never taken back.
    """
    standing = [each for each in records if not each.replaced]
    search = Counter((each.condition, each.seed) for each in standing if each.kind == "search")
    replicates = Counter(
        (each.condition, str(each.parameters)) for each in standing if each.kind == "replicate"
    )
    if config.searches is not None:
        replicates = Counter((condition, "") for condition, _ in search)
    for field, wanted, counts in (
        (config.search_trials_field, config.search_trials, search),
        ("replicates", config.most_replicates, replicates),
    ):
        more = [count for count in counts.values() if count > wanted]
        if more:
            yield (
                f"{field}: {wanted}, and {len(more)} of {len(counts)} conditions have up to "
                f"{max(more)}: those stay, and no more are asked for there"
            )


def _changed(before: Any, after: Any) -> list[tuple[Any, Any]]:
    """What a factor was and is, where it lost a value or a bundle, or changed a bundle."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        bundles = ((name, after.get(name, "gone")) for name in before)
        return [({name: before[name]}, now) for name, now in bundles if now != before[name]]
    if type(before) is type(after) and all(value in after for value in before):
        return []
    return [(before, after)]


def _fixed(sweep: Mapping[str, Any]) -> dict[str, Any]:
    # What an older ledger does not have yet is as it is by default.
    config = parse_sweep(sweep, "the ledger")
    whole = config.model_dump(mode="json")
    fixed = {field: value for field, value in whole.items() if field not in GROWS}
    if config.settings is not None:
        # More of them begin with those that there were.
        fixed["settings"] = {"drawn_once_per": config.settings.drawn_once_per}
    if config.searches is None:
        return fixed | {"replicates": {"of": "winner"}}
    # More searches are of the same method; longer ones are of another.
    searches = config.searches.model_dump(mode="json", exclude={"count"})
    return fixed | {"replicates": searches, "patience": config.patience}


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        fields = dict.fromkeys([*old, *new])
        deeper = [
            _differences(old.get(field), new.get(field), f"{path}.{field}" if path else field)
            for field in fields
        ]
        return [difference for found in deeper for difference in found]
    return [] if old == new else [f"{path}: was {old!r}, is {new!r}"]


def replicating(sweep: Sweep, ledger: Ledger, names: Sequence[str]) -> Sweep:
    """The sweep with these trials to be replicated, too; UserError where one did not complete."""
    complete = [
        record.name
        for record in ledger.records(sweep.cells)
        if record.kind == "search" and record.state == "complete"
    ]
    for name in names:
        if name not in complete:
            raise UserError(
                f"--replicate {name!r}: no complete trial of sweep {sweep.config.name!r} has this "
                f"name; see those of its front with `noisetune best {sweep.config.name}`"
            )
    if not sweep.config.most_replicates:
        raise UserError(
            f"--replicate: sweep {sweep.config.name!r} has replicates: 0; say how many runs with "
            "--set replicates=5"
        )
    chosen = dict.fromkeys([*sweep.config.replicate, *names])
    definition = sweep.definition()
    return Sweep.from_definition(
        {**definition, "sweep": {**definition["sweep"], "replicate": list(chosen)}}
    )
