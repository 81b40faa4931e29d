"""The compose file of the MLflow server, with its variables in place."""

import re
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
