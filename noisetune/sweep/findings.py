"""What a doctor finds."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "fault"]
GB = 1e9


@dataclass(frozen=True)
class Finding:
    """What was found of one thing, and what to do where it is not ok."""

    what: str
    state: State
    text: str
    remedy: str = ""
