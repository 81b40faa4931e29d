"""The files of infra/, read as their tools read them."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
KUBERNETES = INFRA / "kubernetes"
OVERLAYS = sorted(file.parent.name for file in KUBERNETES.glob("*/kustomization.yaml"))
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


def versions() -> dict[str, str]:
    """What infra/versions.env says, by name."""
    lines = (INFRA / "versions.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each is not None]


def resources(kind: str | None = None) -> list[dict[str, Any]]:
    """What the manifests for Kubernetes have, before Kustomize."""
    files = (file for file in KUBERNETES.glob("*/*.yaml") if file.stem != "kustomization")
    found = [each for file in sorted(files) for each in documents(file.read_text())]
    return [each for each in found if kind in (None, each["kind"])]


def filled(text: str, values: dict[str, str]) -> str:
    """A compose file with its variables, or their defaults, in place."""
    return VARIABLE.sub(lambda found: values.get(found[1], found[2] or ""), text)
