"""`noisetune clean` from images to a page."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from clean.conftest import FAST

from noisetune.clean import page as pages
from noisetune.store import StageKey, Store

WRONG = 4


@pytest.fixture
def data(tmp_path: Path, make_folders: Callable[..., Path]) -> Path:
    return make_folders(tmp_path / "<b>data", 60, wrong=WRONG)


@pytest.fixture
def run(tmp_path: Path, noisetune: Callable[..., Any]) -> Callable[..., Any]:
    (tmp_path / "fast.yaml").write_text(yaml.safe_dump(FAST))

    def run(data: Path, *words: object) -> Any:
        own = ["--config", tmp_path / "fast.yaml", "--mlruns", tmp_path / "mlruns"]
        return noisetune("clean", data, *own, *words)

    return run


def issues(out: Path) -> list[dict[str, str]]:
    with (out / "issues.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_ranks_wrong_labels_first_and_goes_on_from_the_store(
    tmp_path: Path, data: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "flat" / "broken.png").write_bytes(b"no")
    before = {file: file.read_bytes() for file in data.rglob("*.png")}
    out = tmp_path / "out"
    said = run(data, "--out", out)
    assert said.code == 0, said.err
    rows = issues(out)
    assert len(rows) == 120
    wrong = {f"{'flat' if n % 2 == 0 else 'upright'}/{n}.png" for n in range(WRONG)}
    assert {row["path"] for row in rows[:WRONG]} == wrong
    assert all(row["suggested"] != row["given"] for row in rows)
    noise = json.loads((out / "noise.json").read_text())
    assert noise["images"] == 120
    assert not noise["calibrated"]
    assert [each["path"] for each in noise["not_read"]] == ["flat/broken.png"]
    html = (out / "page.html").read_text()
    assert "a ranking only" in html.lower()
    assert "<b>data" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert len(html.encode()) <= pages.LARGEST
    assert {file: file.read_bytes() for file in data.rglob("*.png")} == before

    def computed(store: Store, key: StageKey) -> None:
        raise AssertionError(f"{key.stage}: computed again")

    monkeypatch.setattr(Store, "lease", computed)
    again = run(data, "--out", out)
    assert again.code == 0, again.err
    assert issues(out) == rows
    repeated = run(data, "--out", tmp_path / "other", "--config", out / "config.yaml")
    assert repeated.code == 0, repeated.err
    assert issues(tmp_path / "other") == rows


def test_what_ctrl_c_stops_goes_on(
    tmp_path: Path, data: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, saved = Store.publish, list[str]()

    def interrupted(store: Store, key: StageKey, *more: Any, **named: Any) -> Any:
        saved.append(key.stage)
        if len(saved) == 3:
            raise KeyboardInterrupt
        return publish(store, key, *more, **named)

    monkeypatch.setattr(Store, "publish", interrupted)
    stopped = run(data, "--out", tmp_path / "out")
    assert (stopped.code, "Traceback" in stopped.err) == (130, False)
    assert not (tmp_path / "out" / "issues.csv").exists()
    again = run(data, "--out", tmp_path / "out")
    assert again.code == 0, again.err
    assert saved.count("extract") == 1
    whole = run(data, "--out", tmp_path / "other", "--mlruns", tmp_path / "fresh")
    assert whole.code == 0, whole.err
    assert issues(tmp_path / "other") == issues(tmp_path / "out")


def test_an_encoder_sees_images_without_labels_too(
    tmp_path: Path, data: Path, run: Callable[..., Any], make_folders: Callable[..., Path]
) -> None:
    more = make_folders(tmp_path / "more", 5)
    ssl = {"method": "simclr", "epochs": 1, "batch_size": 32, "unlabelled": str(more)}
    encoded = {name: each for name, each in FAST.items() if name != "patches"} | {"pretrain": ssl}
    (tmp_path / "encoded.yaml").write_text(yaml.safe_dump(encoded))
    said = run(data, "--out", tmp_path / "out", "--config", tmp_path / "encoded.yaml")
    assert said.code == 0, said.err
    assert len(issues(tmp_path / "out")) == 120
    ssl |= {"stop": {"patience": 1}, "schedule": "constant"}
    (tmp_path / "encoded.yaml").write_text(yaml.safe_dump(encoded))
    refused = run(data, "--out", tmp_path / "none", "--config", tmp_path / "encoded.yaml")
    assert (refused.code, "pretrain.stop: clean trains" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "DATA/out"], "lies in DATA"),
        (["--out", "mine"], "no run of `noisetune clean` began it"),
        (["--minutes", "0"], "--minutes: 0.0"),
        (["--write", "mine"], "is not empty"),
        (["--apply", "reviewed.csv"], "give --write"),
    ],
)
def test_what_will_not_do_is_one_message_and_nothing_is_touched(
    tmp_path: Path, data: Path, run: Callable[..., Any], words: list[str], message: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    places = {"DATA/out": data / "out", "mine": tmp_path / "mine"}
    said = run(data, *(places.get(word, word) for word in words))
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
    kept = [path for path in sorted(tmp_path.rglob("*")) if "cache" not in path.parts]
    assert kept == before


def test_a_folder_of_other_data_is_refused(
    tmp_path: Path, data: Path, run: Callable[..., Any], make_folders: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    assert run(data, "--out", out).code == 0
    other = run(make_folders(tmp_path / "other", 6), "--out", out)
    assert (other.code, "begun on other data" in other.err) == (2, True)
    (data / "flat" / "0.png").rename(data / "upright" / "0.png")
    changed = run(data, "--out", out)
    assert (changed.code, "other labels or settings" in changed.err) == (2, True)


def test_fewer_images_than_folds(
    tmp_path: Path, run: Callable[..., Any], make_folders: Callable[..., Path]
) -> None:
    said = run(make_folders(tmp_path / "few", 2), "--out", tmp_path / "out")
    assert said.code == 2
    assert "3 folds of 4 training images" in said.err
    assert not (tmp_path / "out").exists()


def test_a_ranking_only_decides_nothing(
    tmp_path: Path, data: Path, run: Callable[..., Any]
) -> None:
    said = run(data, "--out", tmp_path / "out", "--write", tmp_path / "cleaned")
    assert said.code == 2
    assert "a ranking only" in said.err
    assert not (tmp_path / "cleaned").exists()
    assert (tmp_path / "out" / "page.html").is_file()


def test_reviewed_decisions_are_applied(
    tmp_path: Path, data: Path, run: Callable[..., Any]
) -> None:
    assert run(data, "--out", tmp_path / "out").code == 0
    rows = issues(tmp_path / "out")
    for row in rows[:WRONG]:
        row["relabel"] = row["suggested"]
    with (tmp_path / "reviewed.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    said = run(data, "--apply", tmp_path / "reviewed.csv", "--write", tmp_path / "cleaned")
    assert said.code == 0, said.err
    assert f"116 kept, {WRONG} relabelled, 0 removed" in said.out
