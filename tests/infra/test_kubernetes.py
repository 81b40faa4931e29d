"""The manifests for Kubernetes are what its kinds, and KubeRay's, take."""

import shutil
import subprocess
from typing import Any

import pytest
from kuberay import KINDS, pod_specs
from manifests import KUBERNETES, OVERLAYS, VARIABLE, documents, resources
from pydantic import ValidationError

kubernetes_validate: Any = pytest.importorskip("kubernetes_validate", exc_type=ImportError)
RELEASE = "1.34"


def check(resource: dict[str, Any]) -> None:
    """A resource by its own schema, and the pods that it makes by theirs."""
    if (kind := KINDS.get(resource["kind"])) is not None:
        kind.model_validate(resource)
        for spec in pod_specs(resource):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
            kubernetes_validate.validate(pod, RELEASE, strict=True)
    else:
        kubernetes_validate.validate(resource, RELEASE, strict=True)


@pytest.mark.parametrize(
    "resource", resources(), ids=lambda each: f"{each['kind']} {each['metadata']['name']}"
)
def test_a_resource_is_valid(resource: dict[str, Any]) -> None:
    check(resource)


def test_a_wrong_name_is_seen() -> None:
    (cluster,) = resources("RayCluster")
    head = cluster["spec"]["headGroupSpec"]
    head["template"]["spec"]["containers"][0]["ressources"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(cluster)
    head["rayStartParam"] = {}
    with pytest.raises(ValidationError, match="rayStartParam"):
        check(cluster)


@pytest.mark.parametrize("spec", [each for found in resources() for each in pod_specs(found)])
def test_pods_are_nobody_and_may_nothing(spec: dict[str, Any]) -> None:
    """As the namespace's level `restricted` asks of them."""
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]


def test_a_pod_lives_longer_than_its_trials_have_to_end() -> None:
    (cluster,) = resources("RayCluster")
    for spec in pod_specs(cluster):
        (container,) = spec["containers"]
        (drain,) = [
            int(each["value"])
            for each in container["env"]
            if each["name"] == "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
        ]
        assert drain < spec["terminationGracePeriodSeconds"]


def test_whoever_is_no_part_of_it_reaches_nothing() -> None:
    """Each pod that runs here is chosen by a policy."""
    policies = resources("NetworkPolicy")
    assert all(each["spec"]["policyTypes"] == ["Ingress"] for each in policies)
    chosen = [each["spec"]["podSelector"].get("matchLabels") for each in policies]
    for kind in ("Deployment", "StatefulSet"):
        for each in resources(kind):
            assert each["spec"]["template"]["metadata"]["labels"] in chosen


@pytest.mark.system
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_it(overlay: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on this machine")
    words = ["kubectl", "kustomize", str(KUBERNETES / overlay)]
    built = subprocess.run(words, capture_output=True, text=True, check=True)
    found = documents(built.stdout)
    for resource in found:
        check(resource)
        assert resource["kind"] == "Namespace" or resource["metadata"]["namespace"] == "noisetune"
        for spec in pod_specs(resource):
            assert all(":" in container["image"] for container in spec["containers"])
    assert not VARIABLE.search(built.stdout)
    if overlay.startswith("sweep"):
        (job,) = [each for each in found if each["kind"] == "RayJob"]
        (cluster,) = resources("RayCluster")
        assert job["spec"]["rayClusterSpec"].keys() == cluster["spec"].keys()
        assert not [each for each in found if each["kind"] == "RayCluster"]
