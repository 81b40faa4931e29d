"""Named recipes: what a protocol says of the fields that a trial's YAML leaves out.

Here stands what all plug-ins of a section share; what is one's own it says itself, and so does the
one that is the default under a protocol (`PluginConfig.recipes`, `PluginConfig.default_under`).
"""

from collections.abc import Mapping
from typing import Any

STANDARD = "standard"
_ADAM = {
    "optimizer": "adam",
    "lr": 1e-3,
    "weight_decay": 1e-4,
    "schedule": "constant",
    "warmup_epochs": 0.0,
    "batch_size": 256,
}

PAPER: dict[str, dict[str, Any]] = {
    "data": {"validation_fraction": 0.0, "detection_fraction": 0.1},
    "noise": {"draw": "iid"},
    "pretrain": {
        **_ADAM,
        "epochs": 100,
        "hidden": 512,
        "projection": 128,
        "drop_last": True,
        "batch_norm": "per_view",
        "augment": {
            "crop_scale": (0.2, 1.0),
            "flip": 0.5,
            "jitter": (0.8, 0.8, 0.8, 0.2),
            "jitter_probability": 0.8,
            "grayscale": 0.2,
            "blur": 1.0,
            "blur_kernel": 3,
            "blur_sigma": (0.1, 2.0),
            "normalise": False,
        },
    },
    "finetune": {**_ADAM, "epochs": 10, "augment": {"pad": 4, "flip": 0.5, "normalise": True}},
    "detect": {"checkpoint": "last", "test_seed": "training"},
    "runtime": {"precision": "fp32", "tf32": False},
}
"""The recipe of "Pre-train to Gain" (arXiv 2511.20844), its quirks included.

Nothing is held out of training: epochs are selected on the noisy test labels that detection is
scored on, which are drawn with the seed of the training labels: the noisy-best epoch is chosen on
the very test images that its accuracy is of. Each seed has an encoder of its own.
"""

PROTOCOLS: Mapping[str, Mapping[str, Any]] = {
    "standard": {},
    "paper": {**PAPER, "pretrain_seed": "per_replicate"},
}


def protocol_of(raw: Mapping[str, Any]) -> str:
    """The protocol that `raw` names; the standard one where it names none that there is."""
    name = raw.get("protocol")
    return name if isinstance(name, str) and name in PROTOCOLS else STANDARD


def recipe_of(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the protocol that `raw` names says of whole sections."""
    return PROTOCOLS[protocol_of(raw)]


def merged(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`recipe` with what is `given` over it, section by section and field by field."""
    whole = dict(recipe)
    for field, value in given.items():
        said = whole.get(field)
        if isinstance(said, Mapping) and isinstance(value, Mapping):
            value = merged(said, value)
        whole[field] = value
    return whole
