"""The token of this user's Ray: nobody else reads it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import noisetune.sweep as package
from noisetune.sweep import keep_token, show_token


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where Ray looks for it, in a home folder without one; every new file is open to all."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    before = os.umask(0)
    yield tmp_path / ".ray" / "auth_token"
    os.umask(before)


def modes(token: Path) -> tuple[int, int]:
    return stat.S_IMODE(token.parent.stat().st_mode), stat.S_IMODE(token.stat().st_mode)


def test_a_new_one_is_its_users_alone(token: Path) -> None:
    keep_token()
    assert modes(token) == (0o700, 0o600)
    assert len(bytes.fromhex(token.read_text())) == 32
    assert list(token.parent.iterdir()) == [token]


@pytest.mark.parametrize("look", [keep_token, show_token])
def test_one_that_was_open_to_others_is_shut(token: Path, look: object) -> None:
    token.parent.mkdir()
    token.write_text("0" * 64)
    assert modes(token) == (0o777, 0o666)
    assert callable(look)
    look()
    assert modes(token) == (0o700, 0o600)
    assert token.read_text() == "0" * 64


def test_it_stays_the_same(token: Path) -> None:
    keep_token()
    first = token.read_text()
    keep_token()
    assert token.read_text() == first


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "1"), ("RAY_AUTH_TOKEN_PATH", "/x")],
)
def test_none_is_made_where_another_is_given(
    token: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    keep_token()
    assert not token.parent.exists()


def test_a_folder_that_is_a_link_is_left_as_it_is(token: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    token.parent.symlink_to(tmp_path / "shared")
    keep_token()
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o777
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_a_home_that_cannot_be_written_is_rays_to_refuse(
    token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package.tempfile, "mkstemp", lambda **_: os.open("/none/x", os.O_RDONLY))
    keep_token()
    assert not token.exists()
