"""The paths that a database of MLflow's can have."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow_stories import STORY, Place, artifacts, look
from sqlalchemy.engine import make_url

from noisetune.errors import UserError
from noisetune.sweep.home import Home
from noisetune.tracking.database import database_file, experiments


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@example("a%2Fb")
@example("a?b")
@example("100%")
@example("user:pass@host")
def test_a_path_means_the_same_to_mlflow_or_is_refused(path: str) -> None:
    uri = f"sqlite:////{path}"
    meant = make_url(uri).database or ""
    if "?" in path or meant != f"/{path}":
        with pytest.raises(UserError, match="rename that folder"):
            database_file(uri)
    else:
        assert database_file(uri) == Path(meant)


def test_a_server_has_no_file() -> None:
    assert database_file("http://127.0.0.1:5000") is None


def test_a_folder_with_signs_in_its_name_holds_it_all(tmp_path: Path) -> None:
    home = Home(tmp_path / "a b#c;d&e=f@g:h%zz'i" / "mlruns")
    place = Place(home.tracking_uri, home.artifacts)
    place.runs("mine").apply(STORY)
    assert look(place, "mine")["t 0"].status == "FINISHED"
    assert artifacts(place, "mine")[""] == {"best/a.yaml": "a: 1\n"}
    assert [each.name for each in tmp_path.iterdir()] == [home.root.parent.name]
    assert sorted(each.name for each in home.root.iterdir()) == ["artifacts", "mlflow.db"]


def test_the_sweep_that_was_begun_last_comes_first(tmp_path: Path) -> None:
    place = Place(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
    runs = [place.runs(name) for name in ("first", "second", "third")]
    runs[2].client.delete_experiment(runs[2].experiment)
    assert list(experiments(tmp_path / "mlflow.db"))[:2] == ["second", "first"]
    assert experiments(tmp_path / "mlflow.db")["first"] == runs[0].experiment


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("what " * 100)
    with pytest.raises(UserError, match=r"mlflow.db cannot be read .*`noisetune sync"):
        experiments(tmp_path / "mlflow.db")
    (tmp_path / "mlflow.db").write_text("")
    assert experiments(tmp_path / "mlflow.db") == {}
