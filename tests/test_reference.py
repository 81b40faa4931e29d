"""The reference says what the code says, of every field."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from noisetune.config import PLUGINS
from noisetune.reference.__main__ import COMMAND, FILE, main
from noisetune.reference.engines import engines
from noisetune.reference.fields import Row, meanings, rows
from noisetune.reference.page import ROOTS, page, places, shared, slug

ROOT = Path(__file__).resolve().parents[1]
PAGE = page()
MODELS = {model for root in ROOTS.values() for model in places(root)}


class Base(BaseModel):
    """What two choices share."""

    kind: str
    """Which of them."""
    rate: Annotated[float, Field(ge=0, le=1)] = 0.25
    """How much."""


class First(Base):
    """A choice."""

    kind: Literal["first"] = "first"
    rate: float = Field(default=0.5, gt=0, lt=1)
    range: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """Two
    lines with a | in them."""


class Second(Base):
    """Another."""

    kind: Literal["second"] = "second"
    steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Whole ones."""
    given: dict[str, Any] = Field(description="What is described in the field.")


def nowhere(_: Any) -> str:
    return "elsewhere"


def test_the_file_is_what_the_command_makes() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == PAGE, f"write it with: {COMMAND}"


@pytest.mark.parametrize("model", sorted(MODELS, key=str), ids=str)
def test_every_model_and_every_field_of_it_has_a_meaning(model: type[BaseModel]) -> None:
    assert model.__doc__
    assert [name for name, meaning in meanings(model).items() if not meaning] == []


def test_every_plugin_and_every_engine_has_a_place() -> None:
    assert {config for configs in PLUGINS.values() for config in configs.values()} <= MODELS
    for kind, classes in engines().items():
        assert [
            name for name in classes if f"\n#### `{kind}: {{name: {name}}}`\n" not in PAGE
        ] == []


def test_no_two_headings_have_one_anchor() -> None:
    anchors = [slug(line.lstrip("# ")) for line in PAGE.splitlines() if line.startswith("#")]
    assert len(anchors) == len(set(anchors))


def test_a_row_says_type_range_default_and_meaning() -> None:
    assert rows(First, nowhere) == [
        Row("`kind`", "`first`", "", "`first`", "Which of them."),
        Row("`rate`", "number", "above 0, under 1", "`0.5`", "How much."),
        Row(
            "`range`", "list of number or null", "above 0", "`null`", "Two lines with a | in them."
        ),
    ]
    assert rows(Second, nowhere)[1:] == [
        Row("`rate`", "number", "0 to 1", "`0.25`", "How much."),
        Row("`steps`", "whole number or `auto`", "1 or more", "`auto`", "Whole ones."),
        Row("`given`", "mapping", "", "required", "What is described in the field."),
    ]


def test_a_type_without_words_is_refused_by_its_name() -> None:
    class Odd(BaseModel):
        """It has a field of bytes."""

        raw: bytes = b""
        """Some."""

    with pytest.raises(TypeError, match="bytes"):
        rows(Odd, nowhere)


def test_what_choices_share_is_their_lowest_class() -> None:
    class Third(Second):
        """One more."""

    class Fourth(Second):
        """And one more."""

    assert shared([First, Second], "kind") == {Base: {First, Second}}
    assert shared([Third, Fourth], "kind") == {Second: {Third, Fourth}}
    both = {Base: {First, Third, Fourth}, Second: {Third, Fourth}}
    assert shared([First, Third, Fourth], "kind") == both


def test_a_folder_that_is_not_there_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["", str(tmp_path / "none" / "reference.md")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err


@pytest.mark.long
def test_check_tells_another_file_and_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reference.md"
    checked, written = ["", "--check", str(file)], ["", str(file)]
    monkeypatch.setattr("sys.argv", checked)
    assert main() == 1
    assert COMMAND in capsys.readouterr().err
    assert not file.exists()
    monkeypatch.setattr("sys.argv", written)
    assert main() == 0
    monkeypatch.setattr("sys.argv", checked)
    assert main() == 0
    file.write_text(file.read_text() + "by hand\n")
    assert main() == 1
