import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisetune.errors import UserError
from noisetune.yaml_files import read_yaml, write_yaml

numbers = st.floats(allow_nan=False) | st.integers()
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
values = st.recursive(
    numbers | texts | st.booleans(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
documents = st.dictionaries(texts, values, max_size=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-2E5", -2e5),
        ("+1.e+2", 100.0),
        (".5e1", 5.0),
        ("1.0e-4", 1e-4),
        ("0.1", 0.1),
        ("12", 12),
        (".inf", math.inf),
        ("e3", "e3"),
        ("1e", "1e"),
        ("1e-3x", "1e-3x"),
        ('"1e-3"', "1e-3"),
    ],
)
def test_numbers_read_as_in_yaml_1_2(path: Path, text: str, value: Any) -> None:
    path.write_text(f"lr: {text}")
    read = read_yaml(path)["lr"]
    assert (type(read), read) == (type(value), value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=documents)
def test_what_is_written_is_read(path: Path, content: dict[str, Any]) -> None:
    write_yaml(path, content)
    assert read_yaml(path) == content


def test_the_order_and_the_header_are_kept(path: Path) -> None:
    write_yaml(path, {"b": 1, "a": [0.5]}, "The winner.\nRun it.")
    assert path.read_text() == "# The winner.\n# Run it.\nb: 1\na:\n- 0.5\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: {b", "line 1"),
        (b"a: \x01", "special characters"),
        (b"a: 2024-13-45", "month must be in 1..12"),
        (b"a: !!int x", "invalid literal"),
        (b"a: !!python/object:os.system {}", "could not determine a constructor"),
        (b"a: " + b"[" * 5000, "recursion"),
    ],
)
def test_no_yaml_is_a_user_error(path: Path, content: bytes, problem: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"mine.yaml: is no valid YAML(.|\n)*{problem}"):
        read_yaml(path)


def test_a_file_that_is_missing_unreadable_or_no_text_is_a_user_error(path: Path) -> None:
    with pytest.raises(UserError, match=r"mine.yaml: there is no such file"):
        read_yaml(path)
    with pytest.raises(UserError, match=f"{path.parent.name}: cannot be read"):
        read_yaml(path.parent)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=r"mine.yaml: cannot be read"):
        read_yaml(path)
