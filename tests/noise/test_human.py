import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisetune.errors import UserError
from noisetune.noise.human import Config
from noisetune.testing.noise import part_of

CLEAN = np.array([0, 1, 2, 0, 1, 2])
WORSE = np.array([0, 1, 2, 1, 2, 0])
FILES = {
    "CIFAR-10_human.pt": {
        "aggre": 0.0901, "random1": 0.1723, "random2": 0.1812, "random3": 0.1764, "worse": 0.4021,
    },
    "CIFAR-100_human.pt": {"noisy": 0.4020},
}  # fmt: skip
NPZ = {"CIFAR-10_human.pt": "cifar10n.npz", "CIFAR-100_human.pt": "cifar100n.npz"}
TRUE = {
    "CIFAR-10_human.pt": ("cifar10_labels.npz", "train", 10),
    "CIFAR-100_human.pt": ("cifar100_labels.npz", "train_fine", 100),
}


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "human.npz"
    np.savez(path, clean=CLEAN, worse=WORSE)
    return path


def corrupted(path: Path, labels: str = "worse", clean: Any = CLEAN, classes: int = 3) -> Any:
    config = Config(labels=labels, path=path)
    return config.corrupt(part_of(clean, classes), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "labels"), [(n, one) for n, each in FILES.items() for one in each]
)
def test_the_real_rates_are_those_that_were_published(
    shared_data: Path, name: str, labels: str
) -> None:
    """From the authors' file; the .npz form has the same labels, and is the same noise."""
    truth, key, classes = TRUE[name]
    with np.load(shared_data / truth, allow_pickle=False) as arrays:
        clean = arrays[key].astype(np.int64)
    noisy = [corrupted(shared_data / each, labels, clean, classes) for each in (name, NPZ[name])]
    assert np.array_equal(*noisy)
    assert round(float((noisy[0] != clean).mean()), 4) == FILES[name][labels]
    both = [Config(labels=labels, path=shared_data / each) for each in (name, NPZ[name])]
    assert both[0].identity() == both[1].identity()


def test_the_matrix_is_the_realised_one(file: Path) -> None:
    matrix = Config(labels="worse", path=file).transition_matrix(part_of(CLEAN, 4))
    expected = [[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]]
    assert matrix.tolist() == expected


def test_the_first_labels_are_taken_where_the_data_set_is_cut(file: Path) -> None:
    assert corrupted(file, clean=CLEAN[:4]).tolist() == WORSE[:4].tolist()


@pytest.mark.parametrize("clean", [CLEAN[::-1], np.append(CLEAN, 0)], ids=["turned", "longer"])
def test_another_order_is_refused(file: Path, clean: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"human.npz: .* differ\): the order differs"):
        corrupted(file, clean=clean)


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", clean=CLEAN, worse=WORSE + 1)
    with pytest.raises(UserError, match=r"worse must be a label in 0..2"):
        corrupted(tmp_path / "a.npz")


def test_labels_that_are_not_there_are_answered_with_those_that_are(file: Path) -> None:
    with pytest.raises(UserError, match=r"noise.labels: .*no 'noisy' labels; there are clean, wor"):
        corrupted(file, "noisy")


def test_there_are_none_for_a_test_set(file: Path) -> None:
    config = Config(labels="worse", path=file)
    assert config.parts == ("train",)
    with pytest.raises(UserError, match="training sets alone"):
        config.corrupt(part_of(CLEAN, 3, part="test"), np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["saved", "nested", "array", "pickled", "npz"])
def test_a_malicious_file_is_refused_and_not_executed(tmp_path: Path, kind: str) -> None:
    touched, path = tmp_path / "touched", tmp_path / ("a.npz" if kind == "npz" else "a.pt")
    evil = Evil(touched)
    boxed = np.array([evil], dtype=object)
    match kind:
        case "pickled":
            path.write_bytes(pickle.dumps({"clean_label": evil}, protocol=2))
        case "npz":
            np.savez(path, clean=boxed)
        case _:
            held = {"saved": evil, "nested": {"clean_label": [evil]}, "array": {"clean": boxed}}
            torch.save(held[kind], path)
    with pytest.raises(UserError, match=rf"noise.path: {path}: is refused"):
        corrupted(path)
    assert not touched.exists()


def test_what_a_file_holds_beside_labels_is_named(tmp_path: Path) -> None:
    torch.save({"clean_label": Evil(tmp_path / "touched")}, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"it holds posix.system, not NumPy labels alone"):
        corrupted(tmp_path / "a.pt")


def test_types_are_allowed_for_this_one_file_alone(tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    torch.save({"clean_label": CLEAN, "worse_label": WORSE}, tmp_path / "a.pt")
    assert corrupted(tmp_path / "a.pt").tolist() == WORSE.tolist()
    assert torch.serialization.get_safe_globals() == before


@pytest.mark.parametrize("kind", ["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"])
@pytest.mark.parametrize("order", ["=", ">"])
@pytest.mark.parametrize("suffix", ["pt", "npz"])
def test_whole_numbers_of_any_width_are_labels(
    tmp_path: Path, kind: str, order: str, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    clean, worse = (part.astype(np.dtype(kind).newbyteorder(order)) for part in (CLEAN, WORSE))
    if suffix == "pt":
        torch.save({"clean_label": clean, "worse_label": worse}, path)
    else:
        np.savez(path, clean=clean, worse=worse)
    assert corrupted(path).tolist() == WORSE.tolist()
    np.savez(tmp_path / "usual.npz", clean=CLEAN, worse=WORSE)
    usual = Config(labels="worse", path=tmp_path / "usual.npz")
    assert Config(labels="worse", path=path).identity() == usual.identity()


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_tensors_are_labels_too(tmp_path: Path, kind: torch.dtype) -> None:
    labels = {"clean_label": torch.tensor(CLEAN), "worse_label": torch.tensor(WORSE)}
    torch.save({name: each.to(kind) for name, each in labels.items()}, tmp_path / "a.pt")
    assert corrupted(tmp_path / "a.pt").tolist() == WORSE.tolist()


@pytest.mark.parametrize("content", [b"", b"no file of labels", b"PK\x03\x04 damaged"])
@pytest.mark.parametrize("kind", ["pt", "npz"])
def test_a_file_that_is_none_is_a_user_error(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"noise.path: {path}: is refused: it cannot be read"):
        corrupted(path)


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"noise.path: .*none.pt does not exist"):
        corrupted(tmp_path / "none.pt")


@pytest.mark.parametrize("labels", [WORSE / 2, WORSE[:, None]], ids=["floats", "two axes"])
def test_labels_are_whole_numbers_in_a_row(tmp_path: Path, labels: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", clean=CLEAN, worse=labels)
    with pytest.raises(UserError, match=r"a.npz: worse: must be a list of integer labels"):
        corrupted(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["human.npz", "human.pt"])
def test_a_file_is_measured_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    labels = {"clean": np.zeros(10**5, np.int64), "worse": np.zeros(10**5, np.int64)}
    file = tmp_path / name
    if file.suffix == ".npz":
        np.savez_compressed(file, **labels)
    else:
        torch.save(labels, file)
    monkeypatch.setenv("NOISETUNE_MEMORY", "1M")
    with pytest.raises(UserError, match=f"noise.path: .*{name}: its labels would take 0.0016 GB"):
        corrupted(file)


def test_a_shape_that_the_file_has_not_is_refused(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    lie = entries["worse.npy"].replace(b"(6,)", b"(8" + b"0" * 9 + b",)")
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (entries | {"worse.npy": lie}).items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"human.npz: is refused: it cannot be read \(ValueError\)"):
        corrupted(file)
