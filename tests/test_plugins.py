"""Every plug-in of every folder, those to come included, keeps the plug-ins' promises."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from noisetune import data, models, noise, ssl
from noisetune.config import PLUGINS, SELECTORS
from noisetune.plugins import PluginConfig, choices, section

FOLDERS = {"data": data, "noise": noise, "model": models, "pretrain": ssl}
ALL = [
    pytest.param(kind, name, config, id=f"{kind}-{name}")
    for kind, configs in PLUGINS.items()
    for name, config in configs.items()
]
PLUGIN = """
from typing import Literal
from noisetune.plugins import PluginConfig
class Config(PluginConfig):
    name: Literal["{name}"] = "{name}"
    size: int = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """A package of plug-ins made of file names and texts."""

    def make(**files: str) -> ModuleType:
        package = tmp_path / "plugged"
        package.mkdir()
        for name, text in {"__init__": "", **files}.items():
            (package / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        return __import__("plugged")

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == "plugged"]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_file_of_a_folder_is_a_choice(kind: str) -> None:
    files = {path.stem for path in Path(FOLDERS[kind].__path__[0]).glob("[!_]*.py")}
    assert set(PLUGINS[kind]) == files - {"base"}


@pytest.mark.parametrize(("kind", "name", "config"), ALL)
def test_its_name_is_its_files(kind: str, name: str, config: type[PluginConfig]) -> None:
    assert config.__module__.rsplit(".", 1)[1] == name
    assert config.model_fields[SELECTORS[kind]].default == name


@pytest.mark.parametrize(("kind", "name", "config"), ALL)
def test_it_is_frozen(kind: str, name: str, config: type[PluginConfig]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config.model_construct(), SELECTORS[kind], name)


@pytest.mark.parametrize(("kind", "name", "config"), ALL)
def test_it_refuses_a_key_it_does_not_know(
    kind: str, name: str, config: type[PluginConfig]
) -> None:
    with pytest.raises(ValidationError, match="no_such_key\n  Extra inputs are not permitted"):
        config.model_validate({"no_such_key": 1})


@pytest.mark.parametrize(("kind", "name", "config"), ALL)
def test_it_says_what_it_is(kind: str, name: str, config: type[PluginConfig]) -> None:
    assert config.__doc__
    assert sys.modules[config.__module__].__doc__


def test_a_new_file_is_a_new_choice_but_base_and_private_ones_are_none(
    folder: Callable[..., ModuleType],
) -> None:
    both = {name: PLUGIN.format(name=name) for name in ("small", "large")}
    found = choices(folder(base="raise OSError", _helper="raise OSError", **both), "name")
    assert list(found) == ["large", "small"]


@pytest.mark.parametrize(
    "text", ["", PLUGIN.format(name="another")], ids=["no Config", "another name"]
)
def test_a_file_that_is_no_plugin_is_a_type_error_that_says_what_it_needs(
    folder: Callable[..., ModuleType], text: str
) -> None:
    with pytest.raises(TypeError, match=r'plugged/mine.py needs a Config with name: Literal."mine'):
        choices(folder(mine=text), "name")


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_a_section_is_told_by_its_selector(
    folder: Callable[..., ModuleType], names: list[str]
) -> None:
    configs = choices(folder(**{name: PLUGIN.format(name=name) for name in names}), "name")
    adapter: TypeAdapter[Any] = TypeAdapter(section(configs, "name"))
    for name in names:
        assert type(adapter.validate_python({"name": name, "size": 3})) is configs[name]
    with pytest.raises(ValidationError, match="three"):
        adapter.validate_python({"name": "three"})
