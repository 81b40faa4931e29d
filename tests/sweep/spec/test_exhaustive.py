"""What cannot be listed is refused before it is, with the field and what to do."""

from typing import Any

import pytest

from noisetune.errors import UserError
from noisetune.sweep.spec.space import Parameter, parse_space
from noisetune.sweep.spec.sweep import Sweep

LR = "finetune.lr"


def prepare(parameters: dict[str, Any], **sweep: Any) -> Sweep:
    return Sweep.read({"name": "mine", **sweep}, {"parameters": parameters})


@pytest.mark.parametrize(
    ("choices", "shown"),
    [
        ([0.001, 0.001, 0.002], r"0\.001 and 0\.001"),
        ([1, 2, 1.0], r"1 and 1\.0"),
        ([True, 1], "True and 1"),
    ],
)
def test_equal_choices_are_refused(choices: list[Any], shown: str) -> None:
    space = {"parameters": {LR: {"choices": choices}}}
    complaint = rf"the file: parameters\.finetune\.lr\.choices: {shown} are the same choice twice"
    with pytest.raises(UserError, match=complaint):
        parse_space(space, "the file")


@pytest.mark.parametrize("name", ["grid", "brute_force"])
@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"finetune.epochs": {"low": 1, "high": 10**9}}, "it has 1,000,000,000 values"),
        (
            {
                "finetune.epochs": {"low": 1, "high": 1000},
                "finetune.batch_size": {"low": 3, "high": 1000},
            },
            "there are 998,000 settings in condition all",
        ),
        ({LR: {"low": 0.1, "high": 0.2}}, "a sampler of every value needs choices, or a range"),
    ],
)
def test_what_is_too_much_to_list_is_refused(
    name: str, parameters: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        prepare(parameters, sampler={"name": name})


def test_more_conditions_than_a_sweep_has_are_refused() -> None:
    values = [round(0.001 * step, 3) for step in range(1, 102)]
    space = {"conditions": {LR: values, "finetune.weight_decay": values}}
    with pytest.raises(UserError, match="these cross to 10,201 conditions"):
        Sweep.read({"name": "mine"}, space)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ({"choices": [1, 2]}, True),
        ({"choices": [True, False]}, 1),
        ({"low": 1, "high": 3}, True),
        ({"low": 1, "high": 3}, "2"),
        ({"low": 0.1, "high": 0.3}, "0.2"),
    ],
)
def test_neither_true_nor_a_text_is_a_number(parameter: dict[str, Any], value: Any) -> None:
    assert not Parameter.model_validate(parameter).takes(value)
