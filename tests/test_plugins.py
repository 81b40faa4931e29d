"""Every plug-in of every folder, those to come included, keeps the plug-ins' promises."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from noisetune import data, detectors, finetuning, models, noise, ssl
from noisetune.config import PLUGINS, SELECTORS, TrialConfig
from noisetune.errors import UserError
from noisetune.plugins import ENTRY_POINTS, PluginConfig, choices, for_hosts, section
from noisetune.plugins import outside as outside_plugins

FOLDERS = {
    "data": data,
    "noise": noise,
    "model": models,
    "pretrain": ssl,
    "finetune": finetuning,
    "detect": detectors,
}
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
    for name in [name for name in sys.modules if name.startswith("plugged")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_file_of_a_folder_is_a_choice(kind: str) -> None:
    files = {path.stem for path in Path(FOLDERS[kind].__path__[0]).glob("[!_]*.py")}
    assert set(PLUGINS[kind]) == files - {"base"}


@pytest.mark.parametrize(("kind", "name", "config"), ALL)
def test_its_name_is_its_files(kind: str, name: str, config: type[PluginConfig]) -> None:
    assert config.__module__.rsplit(".", 1)[1] == name
    assert config.model_fields[SELECTORS[kind]].default == name


def test_a_new_file_is_a_new_choice_but_base_and_private_ones_are_none(
    folder: Callable[..., ModuleType],
) -> None:
    both = {name: PLUGIN.format(name=name) for name in ("small", "large")}
    found = choices(folder(base="raise OSError", _helper="raise OSError", **both), "name")
    assert list(found) == ["large", "small"]


HALF_WRITTEN = {
    "no Config": ("", r'needs a Config with name: Literal."mine".'),
    "another name": (PLUGIN.format(name="another"), r'needs a Config with name: Literal."mine".'),
    "no Python": ("def half(", "SyntaxError"),
    "an import that is not there": ("import no_such_package", "no_such_package"),
    "an error of its own": ("raise OSError('disk')", "OSError: disk"),
}


@pytest.mark.parametrize(("text", "reason"), HALF_WRITTEN.values(), ids=HALF_WRITTEN)
def test_a_half_written_file_is_left_out_with_its_reason(
    folder: Callable[..., ModuleType], text: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = choices(folder(mine=text, other=PLUGIN.format(name="other")), "name")
    assert list(found) == ["other"]
    assert re.match(rf"plugged/mine.py: .*{reason}", found.broken["mine"])
    assert [record.getMessage() for record in caplog.records] == [
        f"a plug-in is left out: {found.broken['mine']}"
    ]


def test_who_names_a_half_written_plugin_is_told_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PLUGINS["pretrain"].broken, "mine", "ssl/mine.py: SyntaxError: line 3")
    with pytest.raises(UserError, match=r"^a.yaml: pretrain.method: 'mine' cannot be loaded: ssl"):
        TrialConfig.parse({"pretrain": {"method": "mine"}}, "a.yaml")


def test_an_entry_point_of_another_package_is_a_choice(
    folder: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module, or its class; a name that is taken is left out with the reason."""
    package = folder(one=PLUGIN.format(name="one"), two=PLUGIN.format(name="two"))
    entries = [("three", "plugged_outside.three"), ("four", "plugged_outside.four:Config")]
    entries.append(("one", "plugged_outside.three"))
    outside = Path(package.__path__[0]).with_name("plugged_outside")
    outside.mkdir()
    for name in ("three", "four"):
        (outside / f"{name}.py").write_text(PLUGIN.format(name=name))
    (outside / "__init__.py").touch()
    listed = [[name, value, "plugged"] for name, value in entries]
    monkeypatch.setenv(ENTRY_POINTS, json.dumps(listed))
    outside_plugins.cache_clear()
    try:
        found = choices(package, "name")
        places, variables = for_hosts()
    finally:
        outside_plugins.cache_clear()
    assert set(found) == {"one", "two", "three", "four"}
    assert "the name is taken by plugged.one" in found.broken["one"]
    assert str(outside) in places
    assert [entry for entry in json.loads(variables[ENTRY_POINTS]) if entry in listed] == sorted(
        listed
    )


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
