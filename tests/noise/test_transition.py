from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from noisetune.errors import UserError
from noisetune.noise.transition import Config
from noisetune.testing.noise import part_of

ROWS = [[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]
THREE = part_of([0, 1, 2], 3)


def written(folder: Path, kind: str, rows: Any) -> Path:
    path = folder / f"matrix.{kind}"
    if kind == "npy":
        np.save(path, np.array(rows))
    elif kind == "csv":
        np.savetxt(path, rows, delimiter=",")
    else:
        path.write_text(str(rows))
    return path


def test_the_matrix_is_the_one_given() -> None:
    assert Config(matrix=ROWS).transition_matrix(THREE).tolist() == ROWS


@pytest.mark.parametrize("kind", ["npy", "csv", "yaml"])
def test_a_file_is_the_same_noise_as_the_matrix_written_out(tmp_path: Path, kind: str) -> None:
    config = Config(path=written(tmp_path, kind, ROWS))
    assert config.transition_matrix(THREE).tolist() == ROWS
    assert config.identity() == Config(matrix=ROWS).identity()
    assert config.identity() != Config(matrix=np.eye(3).tolist()).identity()
    assert config.identity() != Config(matrix=ROWS, draw="exact").identity()


@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_a_byte_order_mark_is_no_part_of_a_matrix(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind, ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Config(path=path).transition_matrix(THREE).tolist() == ROWS


BAD = [
    ([[0.7, 0.3], [0.2, 0.7]], "row 1 sums to 0.9; every row must sum to 1"),
    ([[1.2, -0.2], [0.0, 1.0]], "row 0 holds a number that is no chance in 0..1"),
    ([[1.0, 0.0], [0.5, 0.25, 0.25]], "row 1 is not 2 numbers, one for each class"),
    ([[1.0]], "has 1 rows; a matrix needs one for each of two or more classes"),
]


@pytest.mark.parametrize(("rows", "rule"), BAD)
def test_what_is_no_stochastic_matrix_is_refused_naming_the_row(rows: Any, rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        Config(matrix=rows)


@pytest.mark.parametrize(("rows", "rule"), [*BAD, ("text", "has 0 rows"), ([["a"] * 2] * 2, "row")])
def test_so_is_one_in_a_file_naming_the_file(tmp_path: Path, rows: Any, rule: str) -> None:
    path = written(tmp_path, "yaml", rows)
    with pytest.raises(UserError, match=rf"noise.path: {path}: .*{rule}"):
        Config(path=path).transition_matrix(THREE)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "matrix.npy"
    np.save(path, np.array([{1}, {2}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"matrix.npy: Object arrays cannot be loaded"):
        Config(path=path).identity()


@pytest.mark.parametrize("name", ["none.npy", "matrix.txt"])
def test_a_file_that_cannot_be_read_is_a_user_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"noise.path: .*{name}: "):
        Config(path=tmp_path / name).transition_matrix(THREE)


def test_it_must_have_the_classes_of_the_data_set() -> None:
    with pytest.raises(UserError, match=r"a matrix of 3 rows, but the data set has 5 classes"):
        Config(matrix=ROWS).transition_matrix(part_of([0], 5))


@pytest.mark.parametrize("given", [{}, {"matrix": ROWS, "path": "matrix.npy"}])
def test_it_is_given_once(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give either matrix or path"):
        Config(**given)


def test_a_matrix_that_says_it_is_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "npy", ROWS)
    content = path.read_bytes().replace(b"(3, 3)", b"(90000000, 90000000)")
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"matrix.npy: its header (says|is none)"):
        Config(path=path).transition_matrix(THREE)


@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_a_matrix_is_measured_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = written(tmp_path, kind, ROWS)
    monkeypatch.setenv("NOISETUNE_MEMORY", "70")
    with pytest.raises(UserError, match=rf"noise.path: .*matrix.{kind}: its matrix would take"):
        Config(path=path).transition_matrix(THREE)


def test_no_message_shows_what_another_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "passwords.csv"
    path.write_text("site,word\nbank,s3cret\n")
    with pytest.raises(UserError, match=r"passwords.csv: is no table of numbers \(row 0, ") as said:
        Config(path=path).transition_matrix(THREE)
    assert not {"site", "word", "s3cret"} & set(str(said.value).replace("'", " ").split())
