"""The list of what plug-ins promise, and how to check it of one of them."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from noisetune.plugins import PluginConfig

Check = Callable[..., None]
"""`check(Config, **settings)`: AssertionError, saying what is broken, for a plug-in that does not
keep the promise; NeedsSettingsError where it cannot be had with these settings."""
Plugin = TypeVar("Plugin", bound=PluginConfig)

_LIST: list[tuple[type[PluginConfig], Check]] = []


class NeedsSettingsError(Exception):
    """A plug-in that cannot be looked at as it is: it has a field without a default, or reads files
    that are not there."""

    def __init__(self, config: type[PluginConfig], error: Exception) -> None:
        why = str(error)
        if isinstance(error, ValidationError):
            each = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
            why = "; ".join(f"{field}: {rule}" if field else rule for field, rule in each)
        super().__init__(
            f"{config.__module__}: cannot be had with these settings ({why}); give others in a "
            "test of your own, by noisetune.testing.check(Config, ...)"
        )


def promise(base: type[PluginConfig]) -> Callable[[Check], Check]:
    """Makes a check a promise of every plug-in that derives from `base`."""

    def listed(check: Check) -> Check:
        _LIST.append((base, check))
        return check

    return listed


def promises(config: type[PluginConfig]) -> list[Check]:
    """What a plug-in promises, by what it derives from."""
    return [check for base, check in _LIST if issubclass(config, base)]


def check(config: type[PluginConfig], **settings: Any) -> None:
    """Hold a plug-in, with `settings` that it needs, to all of its promises.

    AssertionError for the first that is broken.
    """
    for each in promises(config):
        each(config, **settings)


def small(config: type[Plugin], **settings: Any) -> Plugin:
    """The plug-in at its own smallest size, with `settings`.

    NeedsSettingsError where it wants more of them.
    """
    return whole(config, **{**config.smallest, **settings})


def whole(config: type[Plugin], **settings: Any) -> Plugin:
    """The plug-in at its full size, with `settings`; NeedsSettingsError as for `small`."""
    try:
        return config(**settings)
    except ValidationError as error:
        raise NeedsSettingsError(config, error) from None
