"""The cluster-launcher files pass Ray's own validation."""

import re
from typing import Any

import pytest
import yaml
from manifests import INFRA, ROOT
from ray.autoscaler._private.util import prepare_config, validate_config

FILES = ["own-machines", "cloud"]


def launcher(name: str) -> dict[str, Any]:
    return yaml.safe_load((INFRA / f"ray/{name}.yaml").read_text())


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_it(name: str) -> None:
    validate_config(prepare_config(launcher(name)))


@pytest.mark.parametrize("name", FILES)
def test_ray_would_see_a_mistake(name: str) -> None:
    with pytest.raises(Exception, match="Additional properties are not allowed"):
        validate_config(prepare_config(launcher(name) | {"max_wrokers": 1}))


@pytest.mark.parametrize("name", FILES)
def test_hosts_start_as_ray_node_has_it_with_one_token(name: str) -> None:
    config = launcher(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    head, worker = (config[f"{role}_start_ray_commands"][-1] for role in ("head", "worker"))
    assert re.search(r"infra/ray-node head \S.* --autoscaling-config=~/ray_bootstrap_config", head)
    assert worker.endswith("infra/ray-node worker $RAY_HEAD_IP")


def test_the_head_of_own_machines_is_told_its_address() -> None:
    config = launcher("own-machines")
    assert f"head {config['provider']['head_ip']} " in config["head_start_ray_commands"][-1]


def test_in_a_cloud_workers_are_spot_and_the_head_is_not() -> None:
    kinds = launcher("cloud")["available_node_types"]
    market = {
        name: kind["node_config"].get("InstanceMarketOptions") for name, kind in kinds.items()
    }
    assert market == {"head": None, "worker": {"MarketType": "spot"}}
    assert kinds["head"]["resources"] == {"CPU": 0}
    assert kinds["worker"]["min_workers"] >= 1


@pytest.mark.parametrize("name", ["head", "worker"])
def test_the_cloud_takes_what_ray_hands_on_for_a_host(name: str) -> None:
    """By its own model of the request; what else it asks for Ray puts in."""
    session: Any = pytest.importorskip("botocore.session", reason="pip install 'noisetune[s3]'")
    validate: Any = pytest.importorskip("botocore.validate")
    request = session.get_session().get_service_model("ec2").operation_model("RunInstances")
    config = launcher("cloud")["available_node_types"][name]["node_config"]
    report = validate.ParamValidator().validate(
        config | {"MinCount": 1, "MaxCount": 1}, request.input_shape
    )
    assert not report.has_errors(), report.generate_report()


def test_one_host_of_any_cloud() -> None:
    task = yaml.safe_load((INFRA / "skypilot.yaml").read_text())
    assert set(task) == {"name", "num_nodes", "resources", "workdir", "setup", "run"}
    assert (ROOT / task["workdir"] / "constraints.txt").exists()
