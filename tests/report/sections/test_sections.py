"""What each section says of a made-up sweep; it is left out where it has nothing to say."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_up_view import METHODS, RATES, condition_names, of_one_method

from noisetune.analysis.rendering import cells_of, is_bold
from noisetune.report.contents import Drawing, Section
from noisetune.report.sections import OF_A_SWEEP, sections_of
from noisetune.report.sections.answer import answer
from noisetune.report.sections.curves import curves
from noisetune.report.sections.detection import detection, precisions, reliability
from noisetune.report.sections.noise_rate import noise_rate
from noisetune.report.sections.parameters import parameters
from noisetune.report.sections.pretraining_epochs import pretraining_epochs
from noisetune.report.sections.pruning_and_cost import pruning_and_cost
from noisetune.report.sections.ranking import ranking
from noisetune.report.sections.repeat import repeat
from noisetune.report.sections.results import results
from noisetune.report.sections.selection import selection
from noisetune.report.sections.telemetry import telemetry
from noisetune.report.view import SweepView

Kind = Callable[[SweepView], Section | None]


def section(kind: Kind, view: SweepView) -> Section:
    (made,) = sections_of(view, [kind])
    return made


def drawing(made: Section, name: str) -> Drawing:
    (found,) = [each for each in made.drawings if each.name == name]
    return found


def lines_of(made: Drawing, panel: int = 0) -> list[Any]:
    return [line for line in made.figure.axes[panel].lines if len(line.get_xdata())]


def test_they_come_in_the_order_of_a_reader(view: SweepView) -> None:
    assert [each.title for each in sections_of(view)] == [
        *("The answer", "Results", "Accuracy against noise", "Fine-tuning"),
        *("Choosing the epoch", "Label errors and calibration", "What the parameters do"),
        *("Encoders", "Pruning and cost", "How well noisy labels chose", "To repeat it"),
    ]


@pytest.mark.parametrize("kind", OF_A_SWEEP[1:], ids=lambda kind: kind.__name__)
def test_a_section_without_data_is_left_out(kind: Kind) -> None:
    from noisetune.analysis.question import Question

    assert sections_of(SweepView("new", "running", (), Question(())), [kind]) == []


def test_the_answer_has_numbers_and_intervals(view: SweepView) -> None:
    said = section(answer, view).sentences
    assert len(said) == 3
    assert "simclr above none at noise.rate=0.2 (+" in said[0] or "in 3 groups" in said[0]
    assert "at every look" in said[0]
    assert "at most 5 %" in said[0]
    assert "over 3 groups" in said[1]
    assert "simclr - none +" in said[1]
    assert "fixed beforehand" in said[1]
    assert said[2].startswith(("No comparison is open", "Open: "))


def test_of_few_replicates_it_says_what_is_open(searched: SweepView) -> None:
    said = section(answer, searched).sentences
    assert said[0] == "n = 2: no verdict under n = 5; give more replicates."
    assert said[2] == "Open: 6 of 6 comparisons; there is no verdict under 5 replicates."


def test_without_replicates_it_claims_nothing(view: SweepView) -> None:
    alone = replace(view, records=tuple(r for r in view.records if r.kind == "search"))
    (said,) = section(answer, alone).sentences
    assert "no replicate yet" in said
    (said,) = section(answer, replace(view, records=())).sentences
    assert said == "No trial is complete yet."


def test_the_main_table_is_bold_where_something_is_established(view: SweepView) -> None:
    tables = section(results, view).tables or {}
    rows = cells_of(tables["results"])
    assert len(rows) == len(condition_names(view)) == 9
    bold = {(row[0].plain, row[1].plain) for row in rows if any(map(is_bold, row))}
    claimed = {each.fixed.a for each in view.answers if each.verdict and each.verdict.claim}
    assert claimed
    assert bold == {
        (str(each.factors["noise.rate"]), each.factors["pretrain.method"])
        for each in view.summaries
        if each.name in claimed
    }
    assert set(tables) == {"results", "comparisons", "gains"}
    assert [row[-1].plain for row in rows] == ["2.0"] * 3 + ["3.0"] * 3 + ["4.0"] * 3


def test_with_several_goals_the_fronts_take_its_place(view: SweepView) -> None:
    records = tuple(
        replace(each, objectives=(each.objective or 0.0, 10.0 + each.number))
        if each.objectives else each
        for each in view.records
    )  # fmt: skip
    traded = replace(
        view, goals=("val/accuracy", "cost/passes"), maximize=(True, False), records=records
    )
    assert list(section(results, traded).tables or {}) == ["front"]
    assert "nothing wins" in section(answer, traded).sentences[0]
    assert sections_of(traded, [noise_rate, detection, parameters, ranking]) == []


def test_accuracy_falls_over_the_rates_in_a_line_for_each_method(view: SweepView) -> None:
    made = drawing(section(noise_rate, view), "accuracy-by-noise")
    lines = lines_of(made)
    assert len(lines) == len(METHODS)
    for line in lines:
        assert np.round(line.get_xdata(), 1).tolist() == list(RATES)
        assert np.all(np.diff(line.get_ydata()) < 0)
    assert len(made.runs) == 72


def test_without_rates_each_data_and_noise_has_a_place(view: SweepView) -> None:
    named = tuple(
        replace(each, factors={"noise": f"model {each.factors['noise.rate']}",
                               "pretrain.method": each.factors["pretrain.method"]})
        for each in view.records
    )  # fmt: skip
    made = drawing(section(noise_rate, replace(view, records=named)), "accuracy-by-noise")
    (ax,) = made.figure.axes
    assert [each.get_text() for each in ax.get_xticklabels()] == [
        f"noise=model {rate}" for rate in RATES
    ]


@pytest.mark.parametrize("compared", [True, False])
def test_accuracy_over_epochs_that_are_compared_or_searched(
    view: SweepView, compared: bool
) -> None:
    epochs = {0.2: 5, 0.4: 10, 0.6: 20}
    records = []
    for each in view.records:
        mine = epochs[each.factors["noise.rate"]] + (0 if compared else each.number)
        factors = {"pretrain.method": each.factors["pretrain.method"]}
        if compared:
            factors["pretrain.epochs"] = mine
        parameters = each.parameters | ({} if compared else {"pretrain.epochs": mine})
        records.append(replace(each, factors=factors, parameters=parameters))
    made = drawing(
        section(pretraining_epochs, replace(view, records=tuple(records))),
        "accuracy-by-pretraining",
    )
    assert made.figure.axes[0].get_xlabel() == "epochs of pre-training"
    assert len(lines_of(made)) == len(METHODS)
    assert {each.kind for each in made.runs} == ({"replicate"} if compared else {"search"})


def test_bands_of_curves_reach_from_the_lowest_to_the_highest_replicate(view: SweepView) -> None:
    made = drawing(section(curves, view), "fine-tuning")
    assert len(made.figure.axes) == 5 * len(RATES)
    ax = made.figure.axes[0]
    band = ax.collections[0].get_paths()[0].vertices
    first = view.summaries[0].runs
    ends = [100 * dict(view.curves[run.name]["test/accuracy"])[12] for run in first]
    last = band[band[:, 0] == 12]
    assert (last[:, 1].min(), last[:, 1].max()) == pytest.approx((min(ends), max(ends)))


def test_many_groups_have_several_figures(view: SweepView) -> None:
    names = [f"set {number}" for number in range(5)]
    records = tuple(
        replace(each, factors=each.factors | {"data.name": name}, condition=f"{name} {each.name}",
                name=f"{name} {each.name}")
        for name in names for each in view.records[:5]
    )  # fmt: skip
    curve = {each.name: {"test/accuracy": ((1, 0.5), (2, 0.6))} for each in records}
    made = section(curves, replace(view, records=records, curves=curve))
    assert [each.name for each in made.drawings] == ["fine-tuning-1", "fine-tuning-2"]


def test_precision_falls_as_more_is_found() -> None:
    wrong = np.array([True, True, False, True, False, False])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], dtype=np.float32)
    found = dict(precisions(wrong, scores))
    assert found[100.0] == pytest.approx(75.0)
    assert found[2.0] == pytest.approx(100.0)
    assert precisions(np.ones(3, dtype=bool), scores[:3]) == []
    assert precisions(np.zeros(3, dtype=bool), scores[:3]) == []


def test_certainty_is_compared_with_how_often_it_is_right() -> None:
    probability = np.repeat(np.array([0.15, 0.95, 0.5], dtype=np.float16), [20, 20, 9])
    correct = np.array([True] * 5 + [False] * 15 + [True] * 20 + [True] * 9)
    assert reliability(probability, correct) == [(15.0, 25.0), (95.0, 100.0)]


def test_rules_of_choosing_the_epoch_stand_side_by_side(view: SweepView) -> None:
    (table,) = (section(selection, view).tables or {}).values()
    rules = [row[2].plain for row in cells_of(table)]
    assert rules == ["last", "noisy best", "label wave", "oracle"] * 9
    assert sections_of(replace(view, goals=("val/accuracy", "cost/passes")), [selection]) == []


def test_detectors_are_compared_where_several_looked(view: SweepView) -> None:
    further = {"detect/aum/auroc": 0.9, "detect/aum/f1": None}
    records = tuple(replace(each, metrics=each.metrics | further) for each in view.records)
    tables = section(detection, replace(view, records=records)).tables or {}
    assert list(tables) == ["detectors-1", "detection-1", "detection-2", "detection-3"]
    assert [row[2].plain for row in cells_of(tables["detectors-1"])][:2] == [
        *("confident learning", "aum")
    ]


def test_detection_is_drawn_where_predictions_were_kept(view: SweepView) -> None:
    made = section(detection, view)
    assert [each.name for each in made.drawings] == ["detection-confident_learning", "calibration"]
    assert len(made.drawings[0].runs) == 72
    bare = section(detection, replace(view, predictions={}))
    assert bare.drawings == []
    assert list(bare.tables or {}) == ["detection-1", "detection-2", "detection-3"]


def test_a_parameter_that_some_trials_lack_is_weighed_too(searched: SweepView) -> None:
    made = section(parameters, searched)
    assert [each.name for each in made.drawings] == [
        *("importance", "slices", "parallel-coordinates", "contour"),
    ]
    (ax,) = drawing(made, "importance").figure.axes
    names = {each.get_text() for each in ax.get_yticklabels()}
    assert names == {"finetune.lr", "finetune.schedule", "pretrain.temperature"}
    axes = drawing(made, "slices").figure.axes
    assert {ax.get_xlabel() for ax in axes} == names
    assert max(y for ax in axes for line in ax.lines for y in line.get_ydata()) == 0.0


def test_of_few_trials_there_is_no_importance(view: SweepView) -> None:
    made = section(parameters, view)
    assert [each.name for each in made.drawings] == ["slices", "parallel-coordinates"]
    assert made.sentences == ["9 conditions with fewer than 6 complete trials have no importance."]


def test_encoders_by_epoch(view: SweepView) -> None:
    made = section(telemetry, view)
    (ax,) = drawing(made, "pre-training").figure.axes
    assert ax.get_yscale() == "log"
    assert len(ax.lines) == 2
    assert list(made.tables or {}) == ["telemetry-1", "telemetry-2"]


def test_what_was_stopped_has_a_cross_where_it_ended(view: SweepView) -> None:
    made = section(pruning_and_cost, view)
    axes = drawing(made, "pruning").figure.axes
    assert len(axes) == 9
    crosses = [line for line in axes[0].lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [3]
    rows = cells_of((made.tables or {})["pruning"])
    assert [row[1].plain for row in rows] == ["1 of 3"] * 9


def test_a_stage_that_trials_share_is_counted_once(view: SweepView) -> None:
    made = section(pruning_and_cost, view)
    rows = cells_of((made.tables or {})["cost"])
    computed = sum(float(row[-2].plain) for row in rows)
    distinct = {pair for run in view.seconds.values() for pair in run.items()}
    assert computed == pytest.approx(sum(seconds for _, seconds in distinct), abs=0.5)
    assert made.sentences[0].startswith("Spent: 1.50 hours at work, 2.50 trial hours, 0.75 GPU")
    assert made.sentences[1].startswith("Sharing stages saved ")


def test_how_well_noisy_labels_ranked(searched: SweepView, view: SweepView) -> None:
    made = section(ranking, searched)
    rows = cells_of((made.tables or {})["ranking"])
    assert len(rows) == 9
    assert all(".." in row[3].plain for row in rows)
    few = cells_of((section(ranking, view).tables or {})["ranking"])
    assert [row[2].plain for row in few] == [""] * 9
    assert sections_of(replace(view, oracle=True), [ranking]) == []


def test_where_each_replicate_is_a_search_their_trials_are_not_mixed(searched: SweepView) -> None:
    alone = [each for each in searched.records if each.kind == "search"]
    records = [
        replace(each, config=each.config | {"replicate": seed}, won=each.number == 0)
        for seed in (1, 2) for each in alone
    ]  # fmt: skip
    again = replace(searched, records=tuple(records))
    rows = cells_of((section(ranking, again).tables or {})["ranking"])
    before = cells_of((section(ranking, searched).tables or {})["ranking"])
    assert [row[2].plain for row in rows] == [row[2].plain for row in before]
    assert [row[1].plain for row in rows] == [str(2 * int(row[1].plain)) for row in before]
    said = section(repeat, again).sentences
    assert said == ["The sampler has seed 3, searches have the seeds 1, 2."]


def test_what_repeats_it(view: SweepView) -> None:
    made = section(repeat, view)
    rows = {row[0].plain: row[1].plain for row in cells_of((made.tables or {})["drives"])}
    assert rows["git commit"] == "0123abcd"
    assert rows["packages"] == "torch 2.14\noptuna 5.0"
    assert made.sentences == [
        "The sampler has seed 3, search trials have seed 0, replicates have the seeds 1 to 8."
    ]
    assert [title for title, _ in made.listings] == ["commands", "the sweep and its search space"]


def test_one_method_is_a_report_too(view: SweepView) -> None:
    made = sections_of(of_one_method(view))
    assert "Accuracy against noise" in [each.title for each in made]
