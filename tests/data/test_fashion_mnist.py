"""Fashion-MNIST, wherever its files are and however they are packed."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisetune.config import TrialConfig
from noisetune.data import fashion_mnist
from noisetune.data._idx import read_idx
from noisetune.data.fashion_mnist import FILES, Config
from noisetune.errors import UserError

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x_train": RANDOM.integers(0, 256, (30, 28, 28), dtype=np.uint8),
    "y_train": (np.arange(30) % 10).astype(np.uint8),
    "x_test": RANDOM.integers(0, 256, (12, 28, 28), dtype=np.uint8),
    "y_test": (np.arange(12) % 10).astype(np.uint8),
}
BY_FILE = dict(zip(FILES, ARRAYS.values(), strict=True))


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write(folder: Path, zipped: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in BY_FILE.items():
        content = gzip.compress(idx(array)) if zipped else idx(array)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(content)
    return folder


def is_read(config: Config) -> bool:
    data = config.load()
    parts = (data.x_train[:, 0], data.y_train, data.x_test[:, 0], data.y_test)
    return all(map(np.array_equal, parts, ARRAYS.values()))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("below", [".", "FashionMNIST/raw"])
def test_the_files_are_read_where_they_are(tmp_path: Path, zipped: bool, below: str) -> None:
    write(tmp_path / below, zipped)
    config = Config(root=tmp_path, download=False)
    assert is_read(config)
    assert config.load().class_names[0] == "T-shirt/top"
    assert config.stand_in() is None
    assert config.model_copy(update={"download": True}).written() == {}


def test_an_archive_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", **ARRAYS)
    assert is_read(Config(root=tmp_path / "f.npz"))


def test_debians_files_are_found_where_no_root_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", write(tmp_path / "debian", zipped=True))
    assert is_read(Config())
    with pytest.raises(UserError, match=r"data.root: fashion_mnist is not found in elsewhere"):
        Config(root=Path("elsewhere"), download=False).load()


def test_a_download_goes_where_torchvision_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(url: str, root: str, filename: str, md5: str) -> None:
        write(Path(root), zipped=True)

    monkeypatch.setattr(fashion_mnist, "download_url", fetch)
    config = Config(root=tmp_path / "there")
    assert config.written() == {"root": tmp_path / "there"}
    assert is_read(config)
    assert (tmp_path / "there" / "FashionMNIST" / "raw" / f"{FILES[0]}.gz").is_file()


def test_a_failed_download_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*given: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(fashion_mnist, "download_url", offline)
    config = Config(root=tmp_path)
    assert config.here() is None
    assert config.stand_in() is not None
    with pytest.raises(UserError, match=r"could not be downloaded \(no route to host\); put torch"):
        config.load()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (b"", "does not begin as a file of bytes"),
        (b"\x80\x04pickle", "does not begin as a file of bytes"),
        (idx(ARRAYS["x_train"])[:-1], "its content is another size"),
        (idx(ARRAYS["x_train"]) + b"0", "its content is another size"),
        (idx(ARRAYS["x_train"])[:7], "no readable idx file"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "GB of memory"),
        (idx(ARRAYS["y_train"]), r"images of shape \(\)"),
        (idx(ARRAYS["x_train"][:, :14]), r"images of shape \(14, 28\)"),
        (idx(ARRAYS["x_train"][:20]), r"labels of train: .* for each of the 20 images"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_none_is_named(
    tmp_path: Path, damage: bytes, problem: str, zipped: bool
) -> None:
    write(tmp_path, zipped)
    file = tmp_path / (f"{FILES[0]}.gz" if zipped else FILES[0])
    file.write_bytes(gzip.compress(damage) if zipped else damage)
    with pytest.raises(UserError, match=problem) as said:
        Config(root=tmp_path, download=False).load()
    assert str(tmp_path) in str(said.value)


@given(content=st.binary(max_size=40), zipped=st.booleans())
def test_any_bytes_are_an_array_or_one_message(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, zipped: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / ("any.gz" if zipped else "any")
    file.write_bytes(content)
    try:
        read = read_idx(file)
    except UserError as refused:
        said = str(refused)
    else:
        said = f"{file} of {read.dtype}"
    assert said.startswith(f"{file} of uint8") or f"data.root: {file}" in said


def test_of_a_large_file_the_first_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, zipped=True)
    monkeypatch.setenv("NOISETUNE_MEMORY", "8K")
    few = Config(root=tmp_path, train_samples=5, test_samples=3, download=False)
    assert len(few.load().x_train) == 5
    with pytest.raises(UserError, match="GB of memory"):
        Config(root=tmp_path, download=False).load()


def test_without_files_a_smoke_run_has_as_many_of_its_own(tmp_path: Path) -> None:
    config = Config(root=tmp_path / "none", train_samples=100, test_samples=20, download=False)
    stand_in = config.stand_in()
    assert stand_in is not None
    made = config.model_copy(update=dict(stand_in.fields)).load()
    assert made.x_train.shape == (100, 1, 28, 28)
    assert torch.equal(made.y_train, torch.arange(100) % 10)
    facts = Config(root=tmp_path / "none").facts()
    assert (len(facts.x_train), len(facts.x_test), facts.shape) == (60_000, 10_000, (1, 28, 28))


def test_an_unknown_field_is_one_message() -> None:
    with pytest.raises(UserError, match=r"here.yaml: data.*mean"):
        TrialConfig.parse({"data": {"name": "fashion_mnist", "mean": [0.5]}}, "here.yaml")
