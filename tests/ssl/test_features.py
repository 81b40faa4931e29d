"""Features that are given: what is read of them, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisetune.errors import UserError
from noisetune.ssl.features import Config

Arrays = dict[str, np.ndarray]
WIDTH = 3


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))


def arrays(**changes: np.ndarray) -> Arrays:
    random = np.random.default_rng(0)
    parts = {part: random.normal(size=(n, WIDTH)) for part, n in (("train", 5), ("test", 4))}
    return {part: array.astype(np.float32) for part, array in parts.items()} | changes


def as_archive(place: Path, content: Arrays) -> Path:
    np.savez(place.with_suffix(".npz"), **content)
    return place.with_suffix(".npz")


def as_folder(place: Path, content: Arrays) -> Path:
    place.mkdir()
    for part, array in content.items():
        np.save(place / f"{part}.npy", array)
    return place


@pytest.mark.parametrize("write", [as_archive, as_folder])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
def test_it_reads_every_float_as_float32(
    tmp_path: Path, write: Callable[[Path, Arrays], Path], kind: str
) -> None:
    content = {part: array.astype(kind) for part, array in arrays().items()}
    method = Config(path=write(tmp_path / "given", content))
    features, _ = method.read()
    for part in ("train", "test"):
        expected = torch.from_numpy(content[part].astype(np.float32))
        assert getattr(features, part).equal(expected)
    assert method.width() == features.width == WIDTH


def test_a_folder_of_float32_is_mapped(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "given", arrays())
    features, _ = Config(path=folder).read()
    with (folder / "train.npy").open("r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(7).tobytes())
    assert features.train[-1, -1] == 7


def test_its_content_is_known_whatever_it_lies_in(tmp_path: Path) -> None:
    """An archive, a folder, a copy in wider floats: one content; one other value: another."""
    places = [
        as_archive(tmp_path / "a", arrays()),
        as_folder(tmp_path / "b", arrays()),
        as_folder(
            tmp_path / "c", {name: each.astype(np.float64) for name, each in arrays().items()}
        ),
    ]
    other = as_folder(tmp_path / "d", arrays(test=arrays()["test"] + 1))
    contents = [Config(path=place).read()[1] for place in [*places, other]]
    assert len(set(contents[:3])) == 1
    assert contents[3] != contents[0]


def test_files_in_a_known_state_are_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Config(path=as_folder(tmp_path / "given", arrays()))
    looked: list[str] = []
    look = Config._looked_at

    def counting(self: Config, part: str, vectors: torch.Tensor) -> bytes:
        looked.append(part)
        return look(self, part, vectors)

    monkeypatch.setattr(Config, "_looked_at", counting)
    first = method.read()[1]
    assert method.read()[1] == first
    assert looked == ["train", "test"]
    np.save(tmp_path / "given" / "train.npy", arrays()["train"] + 1)
    assert method.read()[1] != first


def infinite(row: int) -> np.ndarray:
    array = arrays()["train"].copy()
    array[row, 1] = np.inf
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": infinite(3)}, "train: the vector in row 3 holds values that are not finite"),
        (
            {"test": np.full((4, WIDTH), 1e300)},
            "test: the vector in row 0 holds values that are no",
        ),
        (
            {"train": np.zeros((5, WIDTH), np.int64)},
            "train is of type int64; it must be of float16",
        ),
        ({"train": np.zeros((5, WIDTH), complex)}, "train is of type complex128; it must be of"),
        ({"train": np.zeros(5)}, r"train is of shape \(5,\); it must be \(images, values\)"),
        ({"train": np.zeros((5, 0))}, r"train is of shape \(5, 0\); it must be \(images, values\)"),
        ({"test": np.zeros((4, 2))}, "train has vectors of 3 values, and test of 2; both must be"),
        ({"train": np.array([[{}] * 3] * 5)}, "cannot be read as plain arrays .*Object arrays can"),
    ],
    ids=str,
)
@pytest.mark.parametrize("write", [as_archive, as_folder])
def test_what_is_no_finite_vector_each_is_refused(
    tmp_path: Path, write: Callable[[Path, Arrays], Path], changes: Arrays, message: str
) -> None:
    path = write(tmp_path / "given", arrays(**changes))
    with pytest.raises(UserError, match=f"^pretrain.path: .*given.*: {message}"):
        Config(path=path).read()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda place: place, "given does not exist or is no file"),
        (lambda place: as_folder(place, {"train": arrays()["train"]}), "test.npy does not exist"),
        (
            lambda place: as_archive(place, {"x": np.zeros(1)}),
            "the archive has no train and no test",
        ),
        (lambda place: place.write_bytes(b"PK") and place, "cannot be read as plain arrays"),
    ],
)
def test_what_is_not_there_is_refused(
    tmp_path: Path, write: Callable[[Path], Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^pretrain.path: .*{message}"):
        Config(path=write(tmp_path / "given")).read()


def test_vectors_are_scaled_as_it_says(tmp_path: Path) -> None:
    path = as_folder(tmp_path / "given", arrays())
    raw, _ = Config(path=path).read()
    unit, standard = (
        Config.model_validate({"path": path, "normalise": way}).prepared(raw)
        for way in ("unit", "standard")
    )
    torch.testing.assert_close(unit.train.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(unit.test * raw.test.norm(dim=1, keepdim=True), raw.test)
    torch.testing.assert_close(standard.train.mean(0), torch.zeros(WIDTH))
    torch.testing.assert_close(standard.train.std(0, correction=0), torch.ones(WIDTH))
    back = standard.test * raw.train.std(0, correction=0) + raw.train.mean(0)
    torch.testing.assert_close(back, raw.test)
