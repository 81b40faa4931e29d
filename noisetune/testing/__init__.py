"""What plug-ins promise, as checks: of those that are installed, and of one's own.

`pytest --pyargs noisetune.testing` holds every plug-in that is installed to the promises of its
kind, those of entry points included; `-k NAME` one of them. In a test of one's own,
`check(Config, path=...)` does so for a plug-in that needs settings. Both need
`pip install noisetune[testing]`.
"""

from noisetune.testing import data, detectors, every, finetuning, models, noise, ssl, two_views
from noisetune.testing.promises import NeedsSettingsError, check, promises

__all__ = [
    "NeedsSettingsError",
    "check",
    "data",
    "detectors",
    "every",
    "finetuning",
    "models",
    "noise",
    "promises",
    "ssl",
    "two_views",
]
