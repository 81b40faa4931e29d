"""What KubeRay's kinds take, of the fields that are written here: an unknown name is a mistake."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class PodTemplate(Strict):
    """`spec` is a pod's, which the schemas of Kubernetes validate."""

    metadata: Metadata = Metadata()
    spec: dict[str, Any]


class HeadGroup(Strict):
    rayStartParams: dict[str, str] = {}
    template: PodTemplate


class WorkerGroup(HeadGroup):
    groupName: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    replicas: int = Field(ge=0)
    minReplicas: int = Field(ge=0)
    maxReplicas: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> "WorkerGroup":
        assert self.minReplicas <= self.replicas <= self.maxReplicas
        return self


class Auth(Strict):
    mode: Literal["token", "disabled"]


class Autoscaler(Strict):
    idleTimeoutSeconds: int
    upscalingMode: Literal["Default", "Aggressive", "Conservative"]
    securityContext: dict[str, Any]


class ClusterSpec(Strict):
    rayVersion: str
    authOptions: Auth
    enableInTreeAutoscaling: bool
    autoscalerOptions: Autoscaler
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]


class RayCluster(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class JobSpec(Strict):
    """`rayClusterSpec` is put in by Kustomize."""

    entrypoint: str
    backoffLimit: int = Field(ge=0)
    shutdownAfterJobFinishes: Literal[True]  # else ttlSecondsAfterFinished is refused
    ttlSecondsAfterFinished: int = Field(ge=0)
    submissionMode: Literal["K8sJobMode"]
    submitterPodTemplate: PodTemplate
    rayClusterSpec: ClusterSpec | None = None


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec


KINDS: dict[str, type[RayCluster] | type[RayJob]] = {"RayCluster": RayCluster, "RayJob": RayJob}


def pod_specs(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """The specifications of pods, at whatever depth of a resource."""
    found = [resource["spec"]] if "containers" in resource.get("spec", {}) else []
    for value in resource.values():
        nested = value if isinstance(value, list) else [value]
        found += [spec for each in nested if isinstance(each, dict) for spec in pod_specs(each)]
    return found
