import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from noisetune.errors import UserError
from noisetune.sweep.spec.config import find_search_space, parse_sweep, read_sweep
from noisetune.sweep.spec.objective import ORACLE, SELECTABLE
from noisetune.sweep.spec.overrides import override

SWEEP: dict[str, Any] = {"name": "mine", "search_space": "mine"}
keys = st.text("ab", min_size=1, max_size=2)
trees = st.dictionaries(
    keys, st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3))
)


def test_what_a_sweep_leaves_out_is_chosen_without_clean_labels() -> None:
    config = parse_sweep(SWEEP, "the test")
    assert (config.objective.metric, config.objective.oracle) == ("val/accuracy", False)
    assert (config.sampler["name"], config.pruner["name"]) == ("tpe", "median")
    assert (config.resources.cpu, config.resources.gpu) == (1.0, 0.0)


def test_a_sweep_is_the_same_after_the_ledger() -> None:
    raw = SWEEP | {
        "trial": {"model": {"width": 4}},
        "pruner": {"name": "patient", "patience": 2, "wrapped_pruner": {"name": "median"}},
        "resources": {"cpu": 0.5, "gpu": 0.25},
        "max_concurrent": 3,
    }
    config = parse_sweep(raw, "the test")
    assert parse_sweep(json.loads(json.dumps(config.model_dump(mode="json"))), "ledger") == config


@given(name=st.text(max_size=120) | st.from_regex(r"[A-Za-z0-9_./\\-]{1,8}", fullmatch=True))
def test_a_name_that_is_taken_stays_in_its_folder(name: str) -> None:
    assume(is_taken(name))
    assert (Path("sweeps") / name).resolve().parent == Path("sweeps").resolve()
    assert len(name) <= 100


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "-a", "a\n", "é"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    assert not is_taken(name)


def is_taken(name: str) -> bool:
    try:
        return parse_sweep(SWEEP | {"name": name}, "the test").name == name
    except UserError:
        return False


@pytest.mark.parametrize("metric", ORACLE)
def test_what_looks_at_the_truth_needs_oracle(metric: str) -> None:
    direction = "minimize" if metric.endswith("loss") else "maximize"
    objective = {"metric": metric, "direction": direction}
    with pytest.raises(UserError, match=rf"{metric}' is not selectable, it looks at the clean lab"):
        parse_sweep(SWEEP | {"objective": objective}, "the test")
    config = parse_sweep(SWEEP | {"objective": objective | {"oracle": True}}, "the test")
    assert config.objective.metric == metric


@pytest.mark.parametrize("metric", SELECTABLE)
def test_a_noisy_metric_has_one_direction(metric: str) -> None:
    good, bad = ("minimize", "maximize") if metric.endswith("loss") else ("maximize", "minimize")
    config = parse_sweep(SWEEP | {"objective": {"metric": metric, "direction": good}}, "the test")
    assert config.objective.maximize == (good == "maximize")
    with pytest.raises(UserError, match=f"direction '{bad}': it must be {good} for {metric}"):
        parse_sweep(SWEEP | {"objective": {"metric": metric, "direction": bad}}, "the test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name: None: it should be a valid string"),
        ({"trials": 3}, "trials: no such field; did you mean 'trial'? the file takes "),
        ({"trials_per_condition": 0}, "trials_per_condition: 0: it should be greater than or equ"),
        ({"trials_per_condition": "many"}, "trials_per_condition: 'many': it should be a valid in"),
        ({"replicates": -1}, "replicates: -1: it should be greater than or equal to 0"),
        ({"max_concurrent": 0}, "max_concurrent: 0: it should be greater than or equal to 1"),
        ({"resources": {"cpu": 0}}, "resources.cpu: 0: it should be greater than 0"),
        ({"resources": {"gpu": 1.5}}, "resources.gpu: 1.5: a share above one GPU must be a whole"),
        ({"resources": {"gpus": 1}}, "resources.gpus: no such field; did you mean 'gpu'? resou"),
        ({"resources": "all"}, "resources: 'all': it should be a valid dictionary"),
        ({"objective": {"metric": "val/acc"}}, "objective.metric: 'val/acc': no such metric of a"),
        ({"sampler": "tpe"}, "sampler: 'tpe': it should be a valid dictionary"),
        ({"sampler": {"name": "tep"}}, "sampler: name: 'tep' is unknown; choose one of "),
        ({"pruner": {"name": "mdian"}}, "pruner: name: 'mdian' is unknown; choose one of hyper"),
    ],
)
def test_bad_input_names_file_field_value_and_rule(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_sweep(SWEEP | change, "sweeps/mine.yaml")
    assert str(error.value).startswith(f"sweeps/mine.yaml: {message}")


@given(raw=trees, path=st.lists(keys, min_size=1, max_size=3), value=st.integers())
def test_override_puts_one_value_and_leaves_the_rest(
    raw: dict[str, Any], path: list[str], value: int
) -> None:
    before = json.dumps(raw)
    changed = override(raw, ".".join(path), value)
    assert json.dumps(raw) == before
    parent: Any = changed
    for part in path[:-1]:
        parent = parent[part]
        if not isinstance(parent, dict):
            # A value where a section is wanted stays, for the validation to refuse.
            assert changed == raw
            return
    assert parent[path[-1]] == value
    assert {k: v for k, v in changed.items() if k != path[0]} == {
        k: v for k, v in raw.items() if k != path[0]
    }


@pytest.fixture
def sweep_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep in sweeps/, beside search_spaces/near.yaml; the working folder has far.yaml."""
    (tmp_path / "project" / "sweeps").mkdir(parents=True)
    for file in ("project/search_spaces/near.yaml", "work/search_spaces/far.yaml"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "project" / "sweeps" / "mine.yaml"


def test_a_setting_of_the_command_line_goes_over_the_files(sweep_file: Path) -> None:
    sweep_file.write_text("name: mine\nsearch_space: mine\nresources: {cpu: 2}")
    config = read_sweep(sweep_file, "other", ["resources.gpu=0.25", "trial.model.width=4"])
    assert (config.name, config.resources.cpu, config.resources.gpu) == ("other", 2, 0.25)
    assert config.trial == {"model": {"width": 4}}
    with pytest.raises(UserError, match=r"--set resources.gpu: write it as field=value"):
        read_sweep(sweep_file, None, ["resources.gpu"])


def test_a_setting_inside_of_a_value_is_refused(sweep_file: Path) -> None:
    sweep_file.write_text("name: mine\nsearch_space: mine\nreplicates: 8")
    with pytest.raises(UserError, match=r"at_most=9: replicates is 8 and has no fields; set it as"):
        read_sweep(sweep_file, None, ["replicates.at_most=9"])
    grown = read_sweep(sweep_file, None, ["replicates={until: {difference: 2}}"])
    assert (grown.first_replicates, grown.most_replicates) == (5, 20)


def test_a_search_space_is_found_by_name_or_path(sweep_file: Path) -> None:
    project = sweep_file.parent.parent
    assert find_search_space("near", sweep_file) == project / "search_spaces" / "near.yaml"
    assert find_search_space("far", sweep_file) == Path("search_spaces/far.yaml")
    path = find_search_space("../search_spaces/near.yaml", sweep_file)
    assert path.resolve() == project / "search_spaces" / "near.yaml"


@pytest.mark.parametrize("reference", ["nowhere", "nowhere.yaml", "../nowhere", ""])
def test_a_missing_search_space_is_answered_with_those_there_are(
    sweep_file: Path, reference: str
) -> None:
    with pytest.raises(UserError, match=rf"{reference}' is not found; give one of far, near or"):
        find_search_space(reference, sweep_file)
