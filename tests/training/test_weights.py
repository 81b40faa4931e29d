import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from noisetune.errors import UserError
from noisetune.training.weights import content_hash, fit_weights, read_weights

STATE = {
    "conv.weight": torch.arange(6.0).reshape(2, 3),
    "bn.running_mean": torch.ones(2),
    "bn.num_batches_tracked": torch.tensor(7),
}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pt", "wrapped.ckpt"])
def test_a_state_dict_is_read_from_either_format(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if file.suffix == ".safetensors":
        safetensors.torch.save_file(STATE, file)
    else:
        torch.save({"state_dict": STATE, "epoch": 3} if "wrapped" in name else STATE, file)
    assert same(read_weights(file, "pretrain.path"), STATE)


@pytest.mark.parametrize("content", [torch.ones(2), [1, 2], {"epoch": 3}, {"state_dict": 1}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"pretrain.path: .*a.pth is no readable file of named ten"):
        read_weights(tmp_path / "a.pth", "pretrain.path")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pretrain.path: .*none.pth does not exist"):
        read_weights(tmp_path / "none.pth", "pretrain.path")


class Opens:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"weight": torch.ones(1), "more": Opens(made)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Opens(made)))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(UserError, match="no readable file"):
            read_weights(tmp_path / name, "pretrain.path")
    assert not made.exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.binary(max_size=64), st.sampled_from([".pth", ".safetensors"]))
def test_any_other_bytes_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"bytes{suffix}"
    file.write_bytes(content)
    with pytest.raises(UserError, match="no readable file"):
        read_weights(file, "pretrain.path")


def test_what_fits_is_taken_in_the_types_of_the_backbone() -> None:
    halves = {
        name: each.half() if each.is_floating_point() else each for name, each in STATE.items()
    }
    assert same(fit_weights(halves, STATE, "x"), STATE)


def test_old_files_have_no_batch_counter() -> None:
    old = {name: tensor for name, tensor in STATE.items() if "num_batches" not in name}
    assert same(fit_weights(old, STATE, "x"), STATE | {"bn.num_batches_tracked": torch.tensor(0)})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"conv.weight": None}, "has no conv.weight;"),
        ({"more": torch.ones(1)}, "has the unexpected more;"),
        (
            {"conv.weight": torch.ones(3, 2)},
            r"misshapen conv.weight \(float32 \[3, 2\] instead of float32 \[2, 3\]\)",
        ),
        ({"conv.weight": torch.ones(2, 3, dtype=torch.int8)}, r"int8 \[2, 3\] instead of float32"),
        ({str(n): torch.ones(1) for n in range(5)}, "unexpected 0, 1, 2 and 2 more"),
        (
            {"bn.running_mean": None, "mean": torch.ones(2)},
            "no bn.running_mean; has the unexp.* me",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_by_name(change: dict[str, Any], told: str) -> None:
    given = {name: each for name, each in (STATE | change).items() if each is not None}
    with pytest.raises(UserError, match=f"pretrain.path: a.pth: .*{told}"):
        fit_weights(given, STATE, "pretrain.path: a.pth")


def test_the_hash_is_of_the_content_alone() -> None:
    turned = {name: tensor.clone() for name, tensor in reversed(STATE.items())}
    strided = STATE | {"conv.weight": STATE["conv.weight"].T.contiguous().T}
    assert content_hash(turned) == content_hash(strided) == content_hash(STATE)


@pytest.mark.parametrize(
    "change",
    [
        {"conv.weight": STATE["conv.weight"] + 1e-6},
        {"conv.weight": STATE["conv.weight"].reshape(3, 2)},
        {"bn.num_batches_tracked": torch.tensor(7, dtype=torch.int32)},
        {"more": torch.zeros(0)},
    ],
    ids=str,
)
def test_every_part_of_the_content_is_in_the_hash(change: dict[str, Tensor]) -> None:
    assert content_hash(STATE | change) != content_hash(STATE)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_a_file_is_measured_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file, state = tmp_path / name, {"weight": torch.zeros(10**6)}
    if file.suffix == ".safetensors":
        safetensors.torch.save_file(state, file)
    else:
        torch.save(state, file)
    monkeypatch.setenv("NOISETUNE_MEMORY", "3M")
    with pytest.raises(UserError, match=f"pretrain.path: .*{name}: its tensors would take 0.004 G"):
        read_weights(file, "pretrain.path")
