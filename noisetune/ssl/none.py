"""No pre-training: fine-tuning starts from random weights ("from scratch")."""

from typing import Literal

from noisetune.ssl.base import PretrainConfig


class Config(PretrainConfig):
    """Random initialisation; it has no settings."""

    method: Literal["none"] = "none"
