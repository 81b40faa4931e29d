"""What KubeRay's kinds take, of the fields that are written here: an unknown name is a mistake."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


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
    ray_start_params: dict[str, str] = {}
    template: PodTemplate


class WorkerGroup(HeadGroup):
    group_name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    replicas: int = Field(ge=0)
    min_replicas: int = Field(ge=0)
    max_replicas: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> "WorkerGroup":
        assert self.min_replicas <= self.replicas <= self.max_replicas
        return self


class Auth(Strict):
    mode: Literal["token", "disabled"]


class Autoscaler(Strict):
    idle_timeout_seconds: int
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"]
    security_context: dict[str, Any]


class ClusterSpec(Strict):
    ray_version: str
    auth_options: Auth
    enable_in_tree_autoscaling: bool
    autoscaler_options: Autoscaler
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class RayCluster(Strict):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class JobSpec(Strict):
    """`ray_cluster_spec` is put in by Kustomize."""

    entrypoint: str
    backoff_limit: int = Field(ge=0)
    shutdown_after_job_finishes: Literal[True]  # else ttlSecondsAfterFinished is refused
    ttl_seconds_after_finished: int = Field(ge=0)
    submission_mode: Literal["K8sJobMode"]
    submitter_pod_template: PodTemplate
    ray_cluster_spec: ClusterSpec | None = None


class RayJob(Strict):
    api_version: Literal["ray.io/v1"]
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
