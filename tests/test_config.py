import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisetune.config import PLUGINS, SELECTORS, TrialConfig, default_choice, with_selectors
from noisetune.detectors.confident_learning import FILTERS
from noisetune.errors import UserError
from noisetune.yaml_files import write_yaml

rates = st.floats(1e-12, 1e6)
plans = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 1000),
        "batch_size": st.integers(4, 4096),
        "optimizer": st.sampled_from(["adam", "adamw", "sgd"]),
        "lr": rates,
        "weight_decay": st.floats(0, 1),
        "momentum": st.floats(0, 0.99),
        "schedule": st.sampled_from(["constant", "cosine"]),
        "warmup_epochs": st.floats(0, 10),
        "augment": st.none()
        | st.fixed_dictionaries(
            {"flip": st.floats(0, 1), "jitter": st.tuples(rates, rates, rates, st.floats(0, 0.5))}
        ),
    },
)
paths = st.sampled_from(["mine.npz", "a b/ü.npz"])
trials = st.fixed_dictionaries(
    {},
    optional={
        "data": st.fixed_dictionaries({"name": st.just("npz"), "path": paths})
        | st.fixed_dictionaries({"name": st.just("cifar100"), "root": paths}),
        "noise": st.just({"model": "none"}) | st.fixed_dictionaries({"rate": st.floats(0, 1)}),
        "model": st.fixed_dictionaries({"width": st.integers(4, 512)}),
        "pretrain": st.just({"method": "none"})
        | plans.map(lambda plan: {"method": "simclr", **plan})
        | plans.map(lambda plan: {"method": "barlow_twins", **plan}),
        "finetune": plans,
        "detect": st.fixed_dictionaries({"filter_by": st.sampled_from(FILTERS)}),
        "runtime": st.fixed_dictionaries({"threads": st.integers(1, 64) | st.just("auto")}),
        "replicate": st.integers(0, 2**40),
        "pretrain_seed": st.sampled_from(["per_replicate", "shared"]),
    },
)


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], TrialConfig]:
    """A configuration from the text of trial.yaml."""

    def read(text: str) -> TrialConfig:
        path = tmp_path / "trial.yaml"
        path.write_text(text)
        return TrialConfig.read(path)

    return read


@given(raw=trials)
def test_json_gives_the_same_configuration_again(raw: dict[str, Any]) -> None:
    config = TrialConfig.parse(raw, "x")
    assert TrialConfig.parse(json.loads(json.dumps(config.to_json())), "x") == config


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(raw=trials)
def test_yaml_gives_the_same_configuration_again(tmp_path: Path, raw: dict[str, Any]) -> None:
    config = TrialConfig.parse(raw, "x")
    write_yaml(tmp_path / "trial.yaml", config.to_json())
    assert TrialConfig.read(tmp_path / "trial.yaml") == config


@given(raw=trials, cpus=st.none() | st.floats(0.1, 64))
def test_resolve_leaves_no_auto(raw: dict[str, Any], cpus: float | None) -> None:
    resolved = TrialConfig.parse(raw, "x").resolve(cpus, gpus=0)
    assert "auto" not in json.dumps(resolved.to_json())
    assert resolved.resolve(cpus=99) == resolved


def test_resolve_settles_the_machine_and_nothing_else() -> None:
    config = TrialConfig()
    assert config.resolve().model_copy(update={"runtime": config.runtime}) == config


def test_an_empty_file_of_settings_is_the_default_trial() -> None:
    config = TrialConfig.parse({}, "x")
    assert config == TrialConfig()
    assert [config.data.name, config.noise.model] == ["digits", "symmetric"]
    assert [config.model.name, config.pretrain.method] == ["resnet18", "simclr"]


def test_a_number_in_scientific_notation_is_a_number(read: Callable[[str], TrialConfig]) -> None:
    assert read("finetune: {lr: 1e-3}").finetune.lr == 1e-3


@pytest.mark.parametrize("section", SELECTORS)
def test_a_section_without_a_name_means_the_default_plugin(section: str) -> None:
    name = default_choice(section)
    assert with_selectors({section: {}}) == {section: {SELECTORS[section]: name}}
    assert isinstance(
        getattr(TrialConfig.parse({section: {}}, "x"), section), PLUGINS[section][name]
    )


def test_the_users_own_mapping_is_left_as_it_is() -> None:
    raw: dict[str, Any] = {"noise": {"rate": 0.1}}
    TrialConfig.parse(raw, "x")
    assert raw == {"noise": {"rate": 0.1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fintune: {}", "fintune: no such field"),
        ("noise: {rate: 1.5}", "noise.rate: 1.5: it should be less than or equal to 1"),
        ("noise: {rate: -0.1}", "noise.rate: -0.1: it should be greater than or equal to 0"),
        ("noise: {rate: .nan}", "noise.rate: nan: it should be a finite number"),
        ("noise: {rate: high}", "noise.rate: 'high': it should be a valid number"),
        ("noise: {rat: 0.1}", "noise.rat: no such field; did you mean 'rate'?"),
        (
            "noise: {model: asymetric}",
            "noise.model: 'asymetric' is unknown; choose one of 'asymmetric', ",
        ),
        ("noise: symmetric", "noise: 'symmetric': it should be a valid dictionary"),
        ("data: {name: cifr10}", "data.name: 'cifr10' is unknown; choose one of 'cifar10', "),
        ("data: {name: npz}", "data.path: Field required"),
        ("data: {validation_fraction: 1}", "data.validation_fraction: 1: it should be less than 1"),
        (
            "data: {validation_fraction: -0.1}",
            "data.validation_fraction: -0.1: it should be greater than or equal to 0",
        ),
        (
            "{data: {validation_fraction: 0.9}, noise: {model: human, labels: worse, path: a.pt}}",
            "data: validation_fraction 0.9 and detection_fraction 0.1 leave nothing to",
        ),
        ("noise: {model: human, labels: worst, path: a}", "noise.labels: 'worst': it should be"),
        (
            "noise: {model: transition, matrix: [[1, 0], [0.5, 0.4]]}",
            "noise.matrix: row 1 sums to 0.9; every row must sum to 1",
        ),
        ("data: {train_samples: 1}", "data.train_samples: 1: it should be greater than or equal"),
        (
            "model: {name: resnet}",
            "model.name: 'resnet' is unknown; choose one of 'convnext_tiny', ",
        ),
        ("model: {width: 2}", "model.width: 2: it should be greater than or equal to 4"),
        (
            "pretrain: {method: simclr2}",
            "pretrain.method: 'simclr2' is unknown; choose one of 'barlow_tw",
        ),
        (
            "pretrain: {temprature: 1}",
            "pretrain.temprature: no such field; did you mean 'temperatu",
        ),
        ("pretrain: {temperature: 0}", "pretrain.temperature: 0: it should be greater than 0"),
        ("pretrain: {method: none, lr: 1}", "pretrain.lr: no such field; pretrain takes method"),
        (
            "pretrain: {method: barlow_twins, temperature: 1}",
            "pretrain.temperature: no such field; pretrain takes augment, batch_norm, ",
        ),
        ("finetune: {lr: 0}", "finetune.lr: 0: it should be greater than 0"),
        ("finetune: {lr: .inf}", "finetune.lr: inf: it should be a finite number"),
        ("finetune: {epochs: 2.5}", "finetune.epochs: 2.5: it should be a valid integer"),
        ("finetune: {optimizer: lion}", "finetune.optimizer: 'lion': it should be 'adam', 'adamw'"),
        (
            "finetune: {schedule: step}",
            "finetune.schedule: 'step': it should be 'constant' or 'cos",
        ),
        (
            "finetune: {augment: {flip: 3}}",
            "finetune.augment.flip: 3: it should be less than or eq",
        ),
        (
            "finetune: {augment: {crop_scale: [0.5, 0.1]}}",
            "finetune.augment.crop_scale: the lower bound 0.5 is above the upper bound 0.1",
        ),
        ("finetune: {method: gce, q: 0}", "finetune.q: 0: it should be greater than 0"),
        (
            "finetune: {method: gce, q: 1.1}",
            "finetune.q: 1.1: it should be less than or equal to 1",
        ),
        (
            "finetune: {method: forward, matrix: true}",
            "finetune: matrix: true is the truth, which nobody has who has noisy labels alone; ",
        ),
        (
            "{finetune: {method: forward, matrix: true, oracle: true}, noise: {model: instance}}",
            "finetune: method forward is to read the true transition matrix, and instance noise is",
        ),
        (
            "{finetune: {method: forward, matrix: true, oracle: true}, "
            "noise: {model: human, labels: worse, path: a.pt}}",
            "finetune: method forward is to read the true transition matrix, and human noise is n",
        ),
        ("detect: {filter_by: all}", "detect.filter_by: 'all': it should be 'prune_by_noise_rate'"),
        (
            "detect: {also: [{k: 3}]}",
            "detect.also.0.method: is missing; choose one of aum, confident_learning, knn, margin",
        ),
        ("detect: {also: [{method: knn, k: 0}]}", "detect.also.0.k: 0: it should be greater than"),
        (
            "detect: {also: [{method: knn}, {method: knn}]}",
            "detect.also: knn_10 looks at the trial",
        ),
        ("runtime: {threads: 0}", "runtime.threads: 0: it should be greater than or equal to 1"),
        ("runtime: {threads: few}", "runtime.threads: 'few': it should be 'auto'"),
        ("runtime: {device: tpu}", "runtime.device: 'tpu': it should be 'auto', 'cpu' or 'cuda'"),
        ("replicate: -1", "replicate: -1: it should be greater than or equal to 0"),
        ("pretrain_seed: one", "pretrain_seed: 'one': it should be 'per_replicate' or 'shared'"),
        ("", "is empty; write lines of `field: value` into it"),
        ("[digits]", "the file: it should be a valid dictionary"),
    ],
)
def test_bad_input_names_file_field_value_and_rule(
    read: Callable[[str], TrialConfig], tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError) as error:
        read(text)
    lines = str(error.value).splitlines()
    assert any(line.startswith(f"{tmp_path / 'trial.yaml'}: {message}") for line in lines)


def test_all_mistakes_are_told_at_once(read: Callable[[str], TrialConfig]) -> None:
    with pytest.raises(UserError) as error:
        read("noise: {rate: 2}\nfinetune: {lr: -1, epochs: 0}")
    fields = [line.split(": ")[1] for line in str(error.value).splitlines()]
    assert fields == ["noise.rate", "finetune.epochs", "finetune.lr"]


@pytest.mark.parametrize("section", SELECTORS)
def test_an_unknown_plugin_is_answered_with_the_choices(section: str) -> None:
    with pytest.raises(UserError) as error:
        TrialConfig.parse({section: {SELECTORS[section]: "unheard_of"}}, "x")
    assert all(repr(name) in str(error.value) for name in PLUGINS[section])


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.yaml: there is no such file"):
        TrialConfig.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        # Two epochs of each: 60 images in batches of 32, and the 48 that are fitted, of 16.
        ({}, 2 * 2 + 2 * 3),
        ({"pretrain": {"drop_last": True}}, 2 * 1 + 2 * 3),
        ({"pretrain": {"method": "none"}}, 2 * 3),
        ({"data": {"validation_fraction": 0.0}}, 2 * 2 + 2 * 4),
        ({"finetune": {"batch_size": 47}}, 2 * 2 + 2 * 2),
    ],
    ids=str,
)
def test_steps_are_those_that_the_stages_take(
    tiny_trial: Callable[..., TrialConfig], changes: dict[str, Any], steps: int
) -> None:
    assert tiny_trial(**changes).steps(60) == steps
