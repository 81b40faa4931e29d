"""The compose file of the MLflow server, with its variables in place."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from manifests import INFRA, filled, versions
from pydantic import BaseModel, ConfigDict, Field

TEXT = (INFRA / "mlflow/compose.yaml").read_text()
SECRETS = ("DATABASE_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
PORT = r"^[\d.]+:\d+:\d+$"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Healthcheck(Strict):
    test: list[str]
    interval: str = Field(pattern=r"^\d+s$")
    timeout: str = Field(pattern=r"^\d+s$")
    retries: int


class Condition(Strict):
    condition: Literal["service_healthy", "service_started"]


class Service(Strict):
    image: str = Field(pattern=r"^[a-z0-9./-]+:[\w.-]+$")
    command: list[str] = []
    restart: Literal["unless-stopped"]
    environment: dict[str, str | None]
    depends_on: dict[str, Condition] = {}
    healthcheck: Healthcheck | None = None
    volumes: list[str]
    networks: list[str]
    ports: list[str] = []


class Network(Strict):
    internal: bool = False


class Compose(Strict):
    """Of the compose specification the fields that are written here."""

    name: str
    services: dict[str, Service]
    networks: dict[str, Network]
    volumes: dict[str, Any]


@pytest.fixture
def compose() -> Compose:
    values = versions() | dict.fromkeys(SECRETS, "s3cret")
    return Compose.model_validate(yaml.safe_load(filled(TEXT, values)))


def test_it_is_whole(compose: Compose) -> None:
    """What a service names is there."""
    for service in compose.services.values():
        assert set(service.networks) <= set(compose.networks)
        assert {volume.split(":")[0] for volume in service.volumes} <= set(compose.volumes)
        assert set(service.depends_on) <= set(compose.services)
        for name in service.command[:1]:
            assert (INFRA.parent / name).exists()


def test_it_has_no_default_for_a_secret() -> None:
    for secret in SECRETS:
        assert re.search(rf"\$\{{{secret}:\?", TEXT)
        assert not re.search(rf"\$\{{{secret}(:-[^}}]*)?\}}", TEXT)


def test_the_database_is_the_servers_alone(compose: Compose) -> None:
    database, server = compose.services["database"], compose.services["mlflow"]
    assert database.ports == []
    assert all(compose.networks[name].internal for name in database.networks)
    assert [port.startswith("127.0.0.1:") for port in server.ports] == [True]


@pytest.fixture
def compose_command(tmp_path: Path) -> tuple[list[str], Path]:
    """Compose by its program, and the file for it: before version 2 it knows no `name`."""
    file, own = tmp_path / "compose.yaml", TEXT
    if shutil.which("docker") and not subprocess.call(
        ["docker", "compose", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        command = ["docker", "compose"]
    elif shutil.which("docker-compose"):
        command, own = ["docker-compose"], re.sub(r"^name: .*$", "", TEXT, flags=re.MULTILINE)
    else:
        pytest.skip("neither docker compose nor docker-compose is installed")
    file.write_text(own)
    return [*command, "-f", str(file), "config"], file


@pytest.mark.system
def test_compose_takes_it_and_names_a_secret_that_is_missing(
    compose_command: tuple[list[str], Path], compose: Compose
) -> None:
    command, file = compose_command
    secrets = dict.fromkeys(SECRETS, "s3cret")
    known = {"PATH": os.environ["PATH"], "HOME": str(file.parent)} | versions()
    said = subprocess.run(command, env=known | secrets, capture_output=True, text=True, check=True)
    whole = yaml.safe_load(said.stdout)
    assert whole["services"].keys() == compose.services.keys()
    assert {name: each["image"] for name, each in whole["services"].items()} == {
        name: each.image for name, each in compose.services.items()
    }
    for secret in SECRETS:
        others = {name: value for name, value in secrets.items() if name != secret}
        wrong = subprocess.run(command, env=known | others, capture_output=True, text=True)
        assert wrong.returncode != 0
        assert "mlflow.env" in wrong.stderr
