"""Every mistake ends before anything starts: exit code 2 and one message that says what to mend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

LR = {"low": 1e-4, "high": 1e-2, "log": True}
SWEEP: dict[str, Any] = {"name": "mine", "search_space": "space.yaml"}
SPACE: dict[str, Any] = {
    "conditions": {"noise.rate": [0.2, 0.4]},
    "parameters": {"finetune.lr": LR},
}
METHODS = {"pretrain.method": ["none", "simclr"]}
PARAMETER = "parameters: {}: names no field of a trial; there are {}"


@pytest.fixture
def refusal(noisetune: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """The message that `noisetune sweep` ends with, of the two files given as content or text."""

    def refusal(sweep: Any = SWEEP, space: Any = SPACE, *options: str) -> str:
        for name, content in (("sweep.yaml", sweep), ("space.yaml", space)):
            text = content if isinstance(content, str) else yaml.safe_dump(content)
            (tmp_path / name).write_text(text)
        before = sorted(tmp_path.rglob("*"))
        said = noisetune(
            "sweep", tmp_path / "sweep.yaml", "--mlruns", tmp_path / "mlruns", *options
        )
        assert said.code == 2
        assert "Traceback" not in said.err + said.out
        assert sorted(tmp_path.rglob("*")) == before
        assert said.err.startswith("error: ")
        return said.err.removeprefix("error: ").strip()

    return refusal


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trails": 3}, "trails: no such field; did you mean 'trial'? the file takes "),
        ({"replicates": "many"}, "replicates: 'many': it should be a valid integer"),
        ({"resources": "all"}, "resources: 'all': it should be a valid dictionary"),
        ({"resources": {"cpu": 0}}, "resources.cpu: 0: it should be greater than 0"),
        ({"resources": {"gpu": 1.5}}, "resources.gpu: 1.5: a share above one GPU must be a whole"),
        ({"objective": {"metric": "val/acc"}}, "objective.metric: 'val/acc': no such metric of an"),
        (
            {"objective": {"metric": "test/accuracy"}},
            "objective: metric 'test/accuracy' is not selectable, it looks at the clean labels; "
            "choose one of val/accuracy, val/loss, train/loss, or set oracle: true",
        ),
        ({"sampler": {"name": "tep"}}, "sampler: name: 'tep' is unknown; choose one of "),
        (
            {"sampler": {"name": "tpe", "startup": 3}},
            "sampler: startup: unknown for sampler 'tpe', which takes ",
        ),
        (
            {"sampler": {"name": "tpe", "n_ei_candidates": "few"}},
            "sampler: n_ei_candidates: 'few': it must be a whole number",
        ),
        ({"pruner": {"name": "mdian"}}, "pruner: name: 'mdian' is unknown; choose one of hyperb"),
        ({"pruner": {"name": "median", "warmup": 1}}, "pruner: warmup: unknown for pruner 'media"),
        ({"name": "../mine"}, "name: '../mine': a sweep's name is letters, digits, '.', '_' and"),
        ({"name": "a/b"}, "name: 'a/b': a sweep's name is letters, digits"),
        ({"search_space": "nope"}, "search_space: 'nope' is not found; give one of "),
        ({"search_space": "x/nope.yaml"}, "search_space: 'x/nope.yaml' is not found; give one of"),
    ],
)
def test_a_mistake_in_the_sweep(
    refusal: Callable[..., str], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    assert refusal(SWEEP | change).startswith(f"{tmp_path / 'sweep.yaml'}: {message}")


def test_a_sweep_without_a_name(refusal: Callable[..., str], tmp_path: Path) -> None:
    said = refusal({"search_space": "space.yaml"})
    assert said == f"{tmp_path / 'sweep.yaml'}: name: Field required"


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"modle": {}}, "modle: no such field; did you mean 'model'? the file takes data, "),
        ({"model": {"wdth": 8}}, "trial: model.wdth: names no field of a trial; there are model."),
        ({"model": {"width": "big"}}, "model.width: 'big': it should be a valid integer"),
        (
            {"finetune": {"epoch": 3}},
            "; did you mean finetune.epochs?",
        ),
        ({"finetune": 3}, "finetune: 3: it should be a valid dictionary"),
        ({"finetune": {"epochs": "many"}}, "finetune.epochs: 'many': it should be a valid integer"),
        (
            {"pretrain": {"method": "simklr"}},
            "pretrain.method: 'simklr' is unknown; choose one of 'barlow_twins', 'byol', ",
        ),
        (
            {"data": {"name": "cifar11"}},
            "data.name: 'cifar11' is unknown; choose one of 'cifar10', 'cifar100', 'digits', ",
        ),
        (
            {"model": {"name": "vgg"}},
            "model.name: 'vgg' is unknown; choose one of 'convnext_tiny', 'preact_resnet18', ",
        ),
        ({"runtime": {"device": "cuda"}}, "runtime.device: cuda is asked for, but the trial has"),
        ({"data": {"name": "npz"}}, "data.path: Field required"),
        ({"data": {"name": "npz", "path": "/no.npz"}}, "data.path: /no.npz does not exist"),
        (
            {"data": {"validation_fraction": 1.5}},
            "data.validation_fraction: 1.5: it should be less than 1",
        ),
    ],
)
def test_a_mistake_in_the_fixed_part(
    refusal: Callable[..., str], tmp_path: Path, trial: dict[str, Any], message: str
) -> None:
    said = refusal(SWEEP | {"trial": trial})
    assert said.startswith(f"{tmp_path / 'sweep.yaml'} with {tmp_path / 'space.yaml'}: ")
    assert message in said


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"condition": {}}, "condition: no such field; did you mean 'conditions'? the file takes "),
        (
            {"conditions": {"noise.level": [0.2]}},
            "conditions: noise.level: names no field of a trial; there are noise.draw, noise.labe",
        ),
        (
            {"conditions": {"noise.rate": 0.2}},
            "conditions: noise.rate: 0.2: write a factor as a list",
        ),
        ({"parameters": {"finetune.rate": LR}}, PARAMETER.format("finetune.rate", "finetune.a")),
        ({"parameters": {"lr": LR}}, PARAMETER.format("lr", "data, noise, model, pretrain")),
        ({"parameters": {"noise.rate": LR}}, "parameters: noise.rate: a sampler free to choose it"),
        (
            {"parameters": {"data.train_samples": {"choices": [100]}}},
            "parameters: data.train_samples: a sampler free to choose it would choose the easiest",
        ),
        ({"parameters": {"finetune.lr": 3}}, "parameters.finetune.lr: 3: it should be a valid dic"),
        ({"parameters": {"finetune.lr": {"low": 1}}}, "parameters.finetune.lr: give either choice"),
        (
            {"parameters": {"finetune.lr": {"low": 1.0, "high": 0.5}}},
            "parameters.finetune.lr: `low <= high` must hold, but got (low=1.0, high=0.5)",
        ),
        (
            {"parameters": {"finetune.lr": LR | {"when": {"pretrain.methd": "none"}}}},
            PARAMETER.format("pretrain.methd", "pretrain.augment"),
        ),
    ],
)
def test_a_mistake_in_the_search_space(
    refusal: Callable[..., str], tmp_path: Path, part: dict[str, Any], message: str
) -> None:
    assert refusal(SWEEP, SPACE | part).startswith(f"{tmp_path / 'space.yaml'}: {message}")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"conditions": {"noise.rate": [0.2, 1.4]}},
            "trial (noise.rate=1.4): noise.rate: 1.4: it should be less than or equal to 1",
        ),
        (
            {"conditions": {"noise.rate": [-0.1]}},
            "trial (noise.rate=-0.1): noise.rate: -0.1: it should be greater than or equal to 0",
        ),
        (
            {"parameters": {"finetune.lr": {"low": -1.0, "high": 1.0}}},
            "trial (finetune.lr=-1.0): finetune.lr: -1.0: it should be greater than 0",
        ),
        (
            {"conditions": METHODS, "parameters": {"pretrain.lr": LR}},
            "trial (pretrain.method=none, pretrain.lr=0.0001): pretrain.lr: no such field; pretrai",
        ),
        (
            {"parameters": {"pretrain.lr": LR | {"when": {"pretrain.method": "barlow_twins"}}}},
            "parameters: pretrain.lr: when {'pretrain.method': 'barlow_twins'} holds in no condit",
        ),
        (
            {
                "parameters": {
                    "finetune.lr": LR | {"when": {"finetune.momentum": 0.5}},
                    "finetune.momentum": {"choices": [0.5], "when": {"finetune.lr": 0.001}},
                }
            },
            "parameters: finetune.lr, finetune.momentum: their `when` form a circle; break it",
        ),
        ({"conditions": {"noise.rate": [0.95]}}, "objective.metric: val/accuracy in condition "),
    ],
)
def test_a_mistake_that_takes_both_files(
    refusal: Callable[..., str], tmp_path: Path, space: dict[str, Any], message: str
) -> None:
    files = f"{tmp_path / 'sweep.yaml'} with {tmp_path / 'space.yaml'}"
    assert refusal(SWEEP, space).startswith(f"{files}: {message}")


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_every_value_of_a_continuum(refusal: Callable[..., str], sampler: str) -> None:
    said = refusal(SWEEP | {"sampler": {"name": sampler}})
    assert said.endswith(
        "finetune.lr: a sampler of every value needs choices, or a range with a step"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [mine", "is no valid YAML: while parsing a flow sequence"),
        ("name: mine\n\tsearch_space: x", "is no valid YAML: while scanning"),
        ("name: mine\nname: yours", "is no valid YAML: the key 'name' stands there twice"),
        ("- name: mine", "the file: it should be a valid dictionary (lines of `field: value`)"),
        ("", "is empty; write lines of `field: value` into it"),
        ("mine", "the file: 'mine': it should be a valid dictionary (lines of `field: value`)"),
    ],
)
def test_no_yaml_of_settings(
    refusal: Callable[..., str], tmp_path: Path, text: str, message: str
) -> None:
    assert refusal(text).startswith(f"{tmp_path / 'sweep.yaml'}: {message}")
    assert refusal(SWEEP, text).startswith(f"{tmp_path / 'space.yaml'}: {message}")


def test_a_missing_file(noisetune: Callable[..., Any], tmp_path: Path) -> None:
    said = noisetune("sweep", tmp_path / "none.yaml", "--mlruns", tmp_path / "mlruns")
    assert (said.code, said.err) == (2, f"error: {tmp_path / 'none.yaml'}: there is no such file\n")
    said = noisetune("run", tmp_path / "none.yaml", "--mlruns", tmp_path / "mlruns")
    assert (said.code, said.err) == (2, f"error: {tmp_path / 'none.yaml'}: there is no such file\n")


@pytest.mark.parametrize("field", ["cpu", "gpu"])
def test_more_than_the_machine_has(refusal: Callable[..., str], tmp_path: Path, field: str) -> None:
    said = refusal(SWEEP | {"resources": {field: 1000}})
    rule = f"resources.{field}: 1000 is more than this machine has"
    assert said.startswith(f"{tmp_path / 'sweep.yaml'}: {rule}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 1, 2, 0, 1, 9])}, "y_train: labels span 0..9; they must be 0..2"),
        ({"y_train": np.array([0, 1, 2, 0, 1, -1])}, "y_train: labels span -1..2; they must be 0"),
        ({"y_train": np.array([0, 1, 2])}, "y_train: int64 of shape (3,); it must be one integer"),
        ({"y_train": np.zeros(6)}, "y_train: float64 of shape (6,); it must be one integer label"),
        ({"y_test": np.array([7])}, "y_test: labels span 7..7; they must be 0..2"),
        ({"x_train": np.zeros((6, 64), np.uint8)}, "x_train: shape (6, 64) is no stack of images"),
        ({"x_train": np.zeros((6, 8, 8, 2), np.uint8)}, "x_train: shape (6, 8, 8, 2) is no stack"),
        ({"x_train": np.zeros((6, 8, 8))}, "x_train: images are float64, they must be uint8"),
        ({"x_test": np.zeros((1, 9, 9), np.uint8)}, "x_train has images of shape (1, 8, 8), x_te"),
    ],
)
def test_images_or_labels_that_cannot_be(
    refusal: Callable[..., str], tmp_path: Path, changes: dict[str, np.ndarray], message: str
) -> None:
    arrays = {
        "x_train": np.zeros((6, 8, 8), np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": np.zeros((1, 8, 8), np.uint8),
        "y_test": np.array([0]),
    }
    file = tmp_path / "mine.npz"
    np.savez(file, **(arrays | changes))
    data = {"name": "npz", "path": str(file), "classes": 3}
    assert f": {file}: {message}" in refusal(SWEEP | {"trial": {"data": data}})


def test_settings_on_the_command_line(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert "name: '../mine': a sweep's name" in refusal(SWEEP, SPACE, "--name", "../mine")
    assert "resources.cpu: 'x': it should be" in refusal(SWEEP, SPACE, "--set", "resources.cpu=x")
    assert "--set resources.cpu: write it as" in refusal(SWEEP, SPACE, "--set", "resources.cpu")


@pytest.mark.parametrize("command", ["resume", "status", "best"])
def test_a_sweep_that_nobody_started(
    noisetune: Callable[..., Any], tmp_path: Path, command: str
) -> None:
    for name in ("mine", "../mine"):
        said = noisetune(command, name, "--mlruns", tmp_path / "mlruns")
        assert said.code == 2
        assert said.err.startswith(f"error: no sweep '{name}' in {tmp_path / 'mlruns' / 'sweeps'};")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_or_command(noisetune: Callable[..., Any]) -> None:
    assert noisetune("sweep", "x.yaml", "--nme", "mine").code == 2
    assert noisetune("swep").code == 2
