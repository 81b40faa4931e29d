"""Every plug-in that is installed keeps the promises of its kind, those of entry points included.

`pytest --pyargs noisetune.testing` runs this; `-k NAME` looks at one plug-in.
"""

import pytest

from noisetune.config import PLUGINS
from noisetune.plugins import PluginConfig
from noisetune.testing.promises import Check, NeedsSettingsError, promises

NAMES = [
    pytest.param(kind, name, id=f"{kind}-{name}")
    for kind, configs in PLUGINS.items()
    for name in (*configs, *(configs.broken.keys() - configs.keys()))
]
PROMISES = [
    pytest.param(config, promise, id=f"{kind}-{name}-{promise.__name__}")
    for kind, configs in PLUGINS.items()
    for name, config in configs.items()
    for promise in promises(config)
]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_it_can_be_loaded(kind: str, name: str) -> None:
    assert name not in PLUGINS[kind].broken, PLUGINS[kind].broken[name]


@pytest.mark.parametrize(("config", "promise"), PROMISES)
def test_it_keeps_its_promise(config: type[PluginConfig], promise: Check) -> None:
    try:
        promise(config)
    except NeedsSettingsError as error:
        pytest.skip(str(error))
