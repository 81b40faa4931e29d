"""Versions stand in infra/versions.env: whatever else names one names the same."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from manifests import INFRA, KUBERNETES, ROOT, resources, versions

CONSTRAINTS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
)
VERSIONS = versions()


def test_packages_are_those_that_were_tested_together() -> None:
    assert VERSIONS["RAY_VERSION"] == CONSTRAINTS["ray"]
    assert VERSIONS["MLFLOW_VERSION"] == CONSTRAINTS["mlflow"]
    assert VERSIONS["NOISETUNE_VERSION"] == version("noisetune")


def test_the_image_is_built_on_that_python() -> None:
    text = (INFRA / "container/Dockerfile").read_text()
    assert re.findall(r"^ARG PYTHON_VERSION=(.*)$", text, re.M) == [VERSIONS["PYTHON_VERSION"]]
    assert re.findall(r"-t noisetune:(\S+)", text) == [VERSIONS["NOISETUNE_VERSION"]]


@pytest.mark.parametrize("file", sorted(KUBERNETES.glob("*/kustomization.yaml")), ids=str)
def test_images_in_kubernetes(file: Path) -> None:
    tags = {
        "noisetune": VERSIONS["NOISETUNE_VERSION"],
        "postgres": f"{VERSIONS['POSTGRES_VERSION']}-bookworm",
    }
    for image in yaml.safe_load(file.read_text()).get("images", []):
        assert image["newTag"] == tags[image["name"]]


def test_kuberay_is_told_the_version_of_ray() -> None:
    (cluster,) = resources("RayCluster")
    assert cluster["spec"]["rayVersion"] == VERSIONS["RAY_VERSION"]


def test_the_documents_name_those_versions() -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    assert re.findall(r"--version (\S+)", page) == [VERSIONS["KUBERAY_VERSION"]]
    assert set(re.findall(r"noisetune:(\d\S*)", page)) == {VERSIONS["NOISETUNE_VERSION"]}


def test_no_image_names_where_it_comes_from() -> None:
    """The registry is that of who runs it."""
    ours = re.compile(r"(?:\$\{REGISTRY\})?(?:noisetune|postgres|python)(?:[:-].*)?")
    named = re.compile(r"^\s*(?:- )?(?:image:|FROM|[^#\n]*newName:) ([^\s,]+)", re.MULTILINE)
    images = [
        image
        for file in INFRA.rglob("*")
        if file.is_file()
        for image in named.findall(file.read_text())
    ]
    assert len(images) > 5
    assert [image for image in images if not ours.fullmatch(image)] == []
