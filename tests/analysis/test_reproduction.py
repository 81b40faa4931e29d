"""Published figures beside those of trials that are made up."""

import csv
import io
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from noisetune.analysis.claims import held, held_lines
from noisetune.analysis.fitting import Fitted
from noisetune.analysis.published_tables import (
    FIGURES,
    PublishedTable,
    published_names,
    read_published,
)
from noisetune.analysis.rendering import as_markdown
from noisetune.analysis.reproduction import (
    Reproduced,
    common_reasons,
    differences,
    reproduce,
    verdict,
)
from noisetune.analysis.reproduction_tables import as_csv, reproduction_tables
from noisetune.analysis.statistics import Interval
from noisetune.analysis.summaries import summarise
from noisetune.cli.reproduce_command import papers_trial
from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.records import TrialRecord

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = {"data.name": "cifar10", "pretrain.method": "none", "noise.rate": 0.6}
SIMCLR = SCRATCH | {"pretrain.method": "simclr"}
AS_PUBLISHED = [0.590, 0.595, 0.600]  # the paper: 59.50
HUMAN = {"noise.model": "human", "noise.path": "mine.pt", "noise.labels": "worse"}


def runs(
    fields: Mapping[str, Any], accuracies: list[float], more: Mapping[str, Any] | None = None
) -> list[TrialRecord]:
    """Replicates of the paper's trial that has these fields, with `more` metrics."""
    config = papers_trial(fields)
    condition = " ".join(f"{key}={value}" for key, value in fields.items())
    metrics = {"test/accuracy_at_last": 0.5, "test/accuracy_at_noisy_best": 0.55, **(more or {})}
    return [
        TrialRecord(
            name=f"{condition} replicate {seed}",
            condition=condition,
            factors=dict(fields),
            kind="replicate",
            number=seed - 1,
            state="complete",
            parameters={},
            config=config | {"replicate": seed},
            objective=0.5,
            metrics=metrics | {"test/accuracy_at_oracle": value},
        )
        for seed, value in enumerate(accuracies, start=1)
    ]


def rows(table: str, records: list[TrialRecord]) -> list[Reproduced]:
    return reproduce(read_published(table), summarise(records, True), papers_trial)


def row(
    table: str, records: list[TrialRecord], where: Mapping[str, Any], figure: str = "accuracy"
) -> Reproduced:
    (found,) = (
        each
        for each in rows(table, records)
        if each.figure == figure and where.items() >= each.where.items()
    )
    return found


def shown(table: PublishedTable, found: list[Reproduced], width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    for each in reproduction_tables(table, found):
        console.print(Fitted(each), crop=False)
    return console.export_text()


@pytest.mark.parametrize(
    ("name", "where", "figures"),
    [
        ("cifar10", SCRATCH, {"accuracy": 59.50, "f1": 83, "balanced_accuracy": 79}),
        ("cifar10", SIMCLR | {"noise.rate": 0.0}, {"accuracy": 88.63}),
        ("cifar10", SCRATCH | {"pretrain.method": "imagenet"}, {"accuracy": 74.02}),
        (
            "cifar100",
            {"pretrain.method": "barlow_twins", "noise.rate": 0.8},
            {"accuracy": 30.89, "f1": 82, "balanced_accuracy": 71},
        ),
        (
            "cifar_n",
            {"data.name": "cifar10", "pretrain.method": "simclr", "noise.labels": "worse"},
            {"accuracy": 78.71, "f1": 80.7, "balanced_accuracy": 83.8},
        ),
        ("epochs", SIMCLR | {"pretrain.epochs": 25}, {"accuracy": 73.7}),
        (
            "long_finetune",
            SCRATCH | {"finetune.epochs": 100},
            {"accuracy": 76.35, "peak_epoch": 40, "last_accuracy": 57.5},
        ),
    ],
)
def test_the_published_figures_stand_where_they_belong(
    name: str, where: dict[str, Any], figures: dict[str, float]
) -> None:
    cells = [each for each in read_published(name).cells if where.items() >= each.where.items()]
    assert [each.figures for each in cells] == [figures]


def test_published_figures_are_whole_tables() -> None:
    sizes = {name: len(read_published(name).cells) for name in published_names()}
    assert sizes == {"cifar10": 20, "cifar100": 20, "cifar_n": 6, "epochs": 24, "long_finetune": 2}


@pytest.mark.parametrize("name", published_names())
def test_every_cell_is_a_trial_of_the_papers_protocol(name: str) -> None:
    table = read_published(name)
    assert table.printed.keys() <= FIGURES.keys()
    for cell in table.cells:
        trial = papers_trial(cell.trial | cell.where)
        assert trial["protocol"] == "paper"
        assert all(0 < value < 100 for value in cell.figures.values())
        assert differences(trial, trial) == []


def test_an_unknown_table_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match="'table1'; there are: cifar10, cifar100, cifar_n, epochs"):
        read_published("table1")


def test_the_published_figures_come_with_the_package() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    there = ROOT / "noisetune" / "analysis"
    patterns = package["package-data"]["noisetune.analysis"]
    packed = [file.stem for pattern in patterns for file in there.glob(pattern)]
    assert sorted(packed) == published_names()


def test_the_same_trial_is_compared_with_its_difference_and_interval() -> None:
    found = row("cifar10", runs(SCRATCH, AS_PUBLISHED, {"detect/f1": 0.5}), SCRATCH)
    assert found.verdict == "inside"
    assert (found.paper, found.ours.n, found.reasons) == (59.5, 3, ())
    assert found.ours.mean == pytest.approx(59.5)
    assert found.difference is not None
    assert (found.difference.mean, found.difference.low) == (pytest.approx(0), None)
    assert found.ours.high == pytest.approx(59.5 + 4.3027 * 0.5 / 3**0.5, abs=1e-3)
    assert found.last is not None
    assert found.noisy_best is not None
    assert (found.last.mean, found.noisy_best.mean) == (50, pytest.approx(55))


def test_a_paper_value_outside_the_interval_is_said_to_be() -> None:
    records = runs(SCRATCH, [0.650, 0.655, 0.660], {"detect/f1": 0.5})
    found = row("cifar10", records, SCRATCH)
    assert found.verdict == "outside"
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(6.0)


def test_what_has_no_replicates_has_no_verdict() -> None:
    (one,) = runs(SCRATCH, [0.6])
    search = replace(one, kind="search", config=one.config | {"replicate": 0})
    found = row("cifar10", [search], SCRATCH)
    assert (found.verdict, found.ours.n, found.difference) == ("no replicates", 0, None)
    assert found.alone == pytest.approx(60)
    single = row("cifar10", [one], SCRATCH)
    assert (single.verdict, single.ours.n) == ("no interval", 1)
    assert single.ours.low is None


@given(
    low=st.floats(0, 100), width=st.floats(0.01, 50), paper=st.floats(0, 100), n=st.integers(2, 9)
)
def test_a_verdict_is_about_the_interval_and_the_papers_rounding(
    low: float, width: float, paper: float, n: int
) -> None:
    interval = Interval(low + width / 2, low, low + width, n)
    assert (verdict(interval, paper, 0.5) == "inside") == (
        low - 0.5 - 1e-9 <= paper <= low + width + 0.5 + 1e-9
    )


def test_equal_replicates_estimate_no_interval() -> None:
    assert verdict(Interval(50.0, 50.0, 50.0, 3), 50.0, 0.005) == "no interval"


def test_detection_is_compared_in_percent_up_to_the_papers_rounding() -> None:
    records = [
        replace(each, metrics=each.metrics | {"detect/f1": value})
        for each, value in zip(runs(SCRATCH, AS_PUBLISHED), [0.8339, 0.8340, 0.8341], strict=True)
    ]
    found = row("cifar10", records, SCRATCH, "f1")
    assert found.ours.mean == pytest.approx(83.4)
    assert found.verdict == "inside"  # .834 is .83 to the digits printed
    assert row("cifar10", records, SCRATCH, "balanced_accuracy").ours.n == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data.train_samples": 5000}, "data.train_samples 5000 (paper: None)"),
        ({"data.test_samples": 100}, "data.test_samples 100 (paper: None)"),
        ({"data.validation_fraction": 0.2}, "data.validation_fraction 0.2 (paper: 0.0)"),
        ({"model.width": 16}, "model.width 16 (paper: 64)"),
        ({"pretrain.epochs": 5}, "pretrain.epochs 5 (paper: 100)"),
        ({"finetune.epochs": 2}, "finetune.epochs 2 (paper: 10)"),
        ({"finetune.train": "head"}, "finetune.train head (paper: all)"),
        ({"finetune.augment": "ssl"}, "finetune.augment ssl (not the paper's)"),
        ({"pretrain.stop": {"patience": 2}}, "pretrain.stop given (not in the paper)"),
        ({"noise.model": "symmetric"}, "noise.model symmetric (paper: paper)"),
        ({"noise.draw": "exact"}, "noise.draw exact (paper: iid)"),
        ({"runtime.precision": "bf16"}, "runtime.precision bf16 (paper: fp32)"),
        ({"runtime.tf32": True}, "runtime.tf32 True (paper: False)"),
        ({"pretrain_seed": "shared"}, "pretrain_seed shared (paper: per_replicate)"),
        ({"pretrain.drop_last": False}, "pretrain.drop_last False (paper: True)"),
        ({"pretrain.batch_norm": "joint"}, "pretrain.batch_norm joint (paper: per_view)"),
        (
            {"data.std": [0.247, 0.2435, 0.2616]},
            "data.std [0.247, 0.2435, 0.2616] (paper: [0.2023, 0.1994, 0.201])",
        ),
    ],
)
def test_a_trial_that_differs_is_not_comparable_and_says_why(
    change: dict[str, Any], reason: str
) -> None:
    found = row("cifar10", runs(SIMCLR | change, AS_PUBLISHED), SIMCLR)
    assert (found.verdict, found.difference) == ("not comparable", None)
    assert found.reasons == (reason,)
    assert found.ours.mean == pytest.approx(59.5)


@pytest.mark.parametrize(
    "change",
    [
        {"data.root": "/elsewhere"},
        {"data.download": False},
        {"runtime.threads": 1},
        {"runtime.device": "cpu"},
        {"telemetry": {"k": 5}},
        {"detect.folds": 5},
    ],
)
def test_what_decides_no_figure_is_no_difference(change: dict[str, Any]) -> None:
    assert row("cifar10", runs(SIMCLR | change, AS_PUBLISHED), SIMCLR).reasons == ()


def test_another_data_set_is_not_comparable() -> None:
    found = row("cifar10", runs(SIMCLR | {"data.name": "cifar100"}, AS_PUBLISHED), SIMCLR)
    assert found.verdict == "not comparable"
    assert found.reasons[0] == "data.name cifar100 (paper: cifar10)"


def test_the_deviation_of_barlow_twins_is_the_papers() -> None:
    fields = SCRATCH | {"pretrain.method": "barlow_twins"}
    records = runs(fields | {"pretrain.deviation": "population"}, AS_PUBLISHED)
    assert row("cifar10", records, fields).reasons == (
        "pretrain.deviation population (paper: unbiased)",
    )


@pytest.mark.parametrize("method", ["none", "imagenet"])
def test_where_nothing_is_pre_trained_its_seed_is_no_difference(method: str) -> None:
    fields = SCRATCH | {"pretrain.method": method}
    records = runs(fields | {"pretrain.stem": "random"} if method == "imagenet" else fields, [0.6])
    shared = [replace(each, config=each.config | {"pretrain_seed": "shared"}) for each in records]
    assert row("cifar10", shared, fields).reasons == ()


def test_what_an_earlier_version_did_not_record_is_not_taken_for_the_papers() -> None:
    (one,) = runs(SIMCLR, [0.77])
    older = {name: value for name, value in one.config["data"].items() if name != "std"}
    found = row("cifar10", [replace(one, config=one.config | {"data": older})], SIMCLR)
    assert found.reasons == ("data.std not recorded (paper: [0.2023, 0.1994, 0.201])",)


def test_how_gradients_and_decay_were_before_they_could_be_set_is_the_papers_way() -> None:
    (one,) = runs(SIMCLR, [0.77])
    later = {"decay", "clip_norm", "layer_decay"}
    older = {
        section: {name: value for name, value in one.config[section].items() if name not in later}
        for section in ("pretrain", "finetune")
    }
    assert row("cifar10", [replace(one, config=one.config | older)], SIMCLR).reasons == ()
    older["finetune"]["clip_norm"] = 1.0
    found = row("cifar10", [replace(one, config=one.config | older)], SIMCLR)
    assert found.reasons == ("finetune.clip_norm 1.0 (paper: None)",)


@given(
    ours=st.lists(st.integers(0, 1000).map(lambda value: value / 10), min_size=2, max_size=8),
    field=st.sampled_from(["simclr", "imagenet"]),
)
def test_seeds_against_seeds_are_two_samples(ours: list[float], field: str) -> None:
    fields = SCRATCH | {"pretrain.method": field}
    found = row("cifar10", runs(fields, [each / 100 for each in ours]), fields)
    assert len(found.paper_values) == 5
    if found.difference is None or found.difference.low is None:
        assert found.verdict == "no interval"
        return
    theirs = stats.ttest_ind(ours, found.paper_values, equal_var=False).confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(theirs), abs=1e-6)
    inside = found.difference.low <= 0 <= found.difference.high
    assert found.verdict == ("consistent" if inside else "differ")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_printed_means_are_those_of_the_seeds(name: str) -> None:
    of_seeds = [cell for cell in read_published(name).cells if cell.by_seed]
    assert len(of_seeds) == 10
    for cell in of_seeds:
        values = cell.by_seed["accuracy"]
        assert len(values) == 5
        assert sum(values) / 5 == pytest.approx(cell.figures["accuracy"], abs=0.0051)


def test_the_papers_sentence_stands_beside_its_own_figures() -> None:
    table = read_published("cifar100")
    at = {(each.arm, each.rate): each for each in held(table, rows("cifar100", []))}
    assert at["simclr", 0.6].paper.mean == pytest.approx(41.79 - 47.07, abs=0.01)
    assert at["simclr", 0.6].paper.high < 0
    assert at["barlow_twins", 0.6].paper.mean == pytest.approx(45.31 - 47.07, abs=0.01)
    assert at["barlow_twins", 0.6].paper.low is None
    assert at["simclr", 0.8].paper.low > 0
    assert all(each.ours is None for each in at.values())
    said = "\n".join(held_lines(table, rows("cifar100", [])))
    assert '"target-data SSL beats ImageNet at noise >= 0.6"' in said
    assert "at rate 0.6 simclr -5.3 (-6.8 .. -3.8), barlow_twins -1.8 (means alone)" in said


def test_our_own_figures_stand_beside_the_sentence_once_both_arms_ran() -> None:
    of = {
        arm: {"data.name": "cifar100", "pretrain.method": arm, "noise.rate": 0.6}
        for arm in ("simclr", "imagenet")
    }
    records = runs(of["simclr"], [0.41, 0.42, 0.43]) + runs(of["imagenet"], [0.46, 0.47, 0.48])
    found = {
        (each.arm, each.rate): each.ours
        for each in held(read_published("cifar100"), rows("cifar100", records))
    }
    ours = found.pop(("simclr", 0.6))
    assert ours is not None
    assert ours.mean == pytest.approx(-5)
    assert set(found.values()) == {None}


def test_settings_of_detection_concern_detection_alone() -> None:
    records = runs(SIMCLR | {"detect.checkpoint": "selected"}, AS_PUBLISHED)
    assert row("cifar10", records, SIMCLR).reasons == ()
    assert row("cifar10", records, SIMCLR, "f1").reasons == (
        "detect.checkpoint selected (paper: last)",
    )


def test_another_protocol_is_the_first_reason_and_none_by_itself() -> None:
    plain = [
        replace(each, config=each.config | {"protocol": "standard"})
        for each in runs(SIMCLR, AS_PUBLISHED)
    ]
    assert row("cifar10", plain, SIMCLR).reasons == ()
    raw = {"data": {"name": "cifar10"}, "noise": {"rate": 0.6}}
    standard = TrialConfig.parse(raw, "x").to_json()
    others = [replace(each, config=standard | {"replicate": each.seed}) for each in plain]
    assert row("cifar10", others, SIMCLR).reasons[0] == "protocol standard (not paper)"


def test_a_hyperparameter_that_was_searched_is_a_difference() -> None:
    records = runs(SCRATCH | {"finetune.lr": 0.005}, AS_PUBLISHED)
    assert row("cifar10", records, SCRATCH).reasons == ("finetune.lr 0.005 (paper: 0.001)",)


def test_without_noise_its_model_does_not_matter() -> None:
    clean = {"data.name": "cifar10", "pretrain.method": "none"}
    found = row(
        "cifar10",
        runs(clean | {"noise.model": "none"}, [0.83, 0.84]),
        clean | {"noise.rate": 0.0},
    )
    assert (found.verdict, found.reasons) == ("inside", ())


def test_of_several_conditions_the_nearest_is_taken() -> None:
    near = runs(SCRATCH, AS_PUBLISHED)
    far = runs(SCRATCH | {"finetune.epochs": 100}, [0.7, 0.71])
    for records in (near + far, far + near):
        assert row("cifar10", records, SCRATCH).condition == near[0].condition
        long = row("long_finetune", records, SCRATCH | {"finetune.epochs": 100})
        assert long.condition == far[0].condition


def test_a_missing_cell_is_not_run() -> None:
    found = rows("cifar10", runs(SCRATCH, AS_PUBLISHED))
    assert len(found) == 15 + 2 * 12 + 5
    missing = [each for each in found if each.verdict == "not run"]
    assert len(missing) == len(found) - 3
    assert all(each.condition is None and not each.ours.n for each in missing)
    failed = [replace(each, state="failed") for each in runs(SCRATCH, AS_PUBLISHED)]
    for records in ([], failed):
        assert {each.verdict for each in rows("cifar10", records)} == {"not run"}


def test_human_labels_are_met_by_their_name_wherever_the_file_is() -> None:
    fields = {"data.name": "cifar10", "pretrain.method": "none", **HUMAN}
    found = row("cifar_n", runs(fields, [0.72, 0.73, 0.731]), fields)
    assert (found.paper, found.reasons) == (72.73, ())


def test_the_papers_imagenet_has_a_random_stem() -> None:
    fields = SCRATCH | {"pretrain.method": "imagenet"}
    adapted = row("cifar10", runs(fields | {"pretrain.stem": "adapted"}, [0.74]), fields)
    assert adapted.reasons == ("pretrain.stem adapted (paper: random)",)
    assert row("cifar10", runs(fields, [0.74, 0.75]), fields).reasons == ()


def test_what_the_source_does_not_say_cannot_be_compared() -> None:
    fields = SIMCLR | {"finetune.epochs": 100}
    found = row("long_finetune", runs(fields, [0.74, 0.75]), fields)
    assert found.verdict == "not comparable"
    assert "does not say which pre-training" in found.reasons[0]


def test_intervals_on_one_encoder_are_marked() -> None:
    given = SCRATCH | {"pretrain.method": "imagenet"}
    found = rows("cifar10", runs(given, [0.77, 0.775, 0.78]))
    said = shown(read_published("cifar10"), found)
    assert "77.5 ±1.2†" in said
    assert "† conditional on one encoder" in said
    own = runs(SIMCLR, [0.77, 0.775, 0.78])
    assert "†" not in shown(read_published("cifar10"), rows("cifar10", own))


def test_reasons_are_given_once_and_counted_where_some_have_them() -> None:
    narrow = runs(SCRATCH | {"model.width": 16}, AS_PUBLISHED)
    both = runs(SIMCLR | {"model.width": 16, "pretrain.epochs": 5}, AS_PUBLISHED)
    found = [each for each in rows("cifar10", narrow + both) if each.figure == "accuracy"]
    assert common_reasons(found) == [
        "model.width 16 (paper: 64)",
        "pretrain.epochs 5 (paper: 100) [1 of 2 figures]",
    ]
    assert common_reasons(found, most=1)[1:] == ["and 1 more"]


@pytest.mark.parametrize("name", published_names())
def test_the_tables_fit_80_columns_and_markdown(name: str) -> None:
    table = read_published(name)
    records = [
        each
        for cell in table.cells
        for each in runs(
            {**cell.trial, **cell.where},
            [0.771, 0.78, 0.79],
            {"test/accuracy_at_last": 0.7 + 0.01, "epoch_at_oracle": 7.0},
        )
    ]
    found = rows(name, records)
    said = shown(table, found)
    assert "…" not in said
    assert "not run" not in said
    for heading in ("paper", "ours", "diff.", "comparable" if name == "long_finetune" else "side"):
        assert heading in said
    markdown = "".join(as_markdown(each) for each in reproduction_tables(table, found))
    assert markdown.count("\n| ") >= len(found)
    assert "arXiv 2511.20844" in markdown


def test_a_figure_that_was_read_off_is_marked() -> None:
    fields = SIMCLR | {"pretrain.epochs": 25}
    found = rows("epochs", runs(fields, [0.73, 0.74, 0.75]))
    said = shown(read_published("epochs"), found)
    assert "~73.7" in said
    assert "~inside" in said
    assert "read off a figure" in said


def test_csv_and_json_have_every_figure() -> None:
    found = rows("cifar10", runs(SCRATCH, AS_PUBLISHED))
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(lines) == len(found) == len(json.loads(json.dumps([asdict(each) for each in found])))
    (line,) = (each for each in lines if each["verdict"] == "inside")
    assert (line["pretrain.method"], line["noise.rate"], line["paper"]) == ("none", "0.6", "59.5")
    assert float(line["ours_mean"]) == pytest.approx(59.5)
