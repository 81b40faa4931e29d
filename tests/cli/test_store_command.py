"""`noisetune store ls|gc|verify` on what one trial left."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from noisetune.cli.store_commands import _origin
from noisetune.store import EntryInfo, Store, parse_size

TRIAL = {
    "data": {"train_samples": 60, "test_samples": 30},
    "noise": {"rate": 0.4},
    "model": {"width": 4},
    "pretrain": {"epochs": 1, "batch_size": 32, "hidden": 8, "projection": 8},
    "finetune": {"epochs": 1, "batch_size": 16},
    "runtime": {"threads": 1},
}


@pytest.fixture
def mlruns(noisetune: Callable[..., Any], tmp_path: Path) -> Path:
    """A folder in which one trial left its three stages."""
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(TRIAL))
    assert noisetune("run", tmp_path / "one.yaml", "--mlruns", tmp_path / "mlruns").code == 0
    return tmp_path / "mlruns"


@pytest.fixture
def command(noisetune: Callable[..., Any], mlruns: Path) -> Callable[..., Any]:
    return lambda *words: noisetune("store", *words, "--mlruns", mlruns)


def entries(mlruns: Path) -> dict[str, EntryInfo]:
    return {entry.stage: entry for entry in Store.open(mlruns / "stages").list()}


def damage(mlruns: Path, stage: str) -> None:
    (file,) = (mlruns / "stages" / stage).rglob("tensors.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_run_says_that_nothing_was_computed(noisetune: Callable[..., Any], mlruns: Path) -> None:
    words = ("run", mlruns.parent / "one.yaml", "--mlruns", mlruns)
    said = noisetune(*words).out
    assert "every stage was in the store: nothing was computed" in said
    assert "in the store" not in noisetune(*words, "--no-share").out


def test_ls_says_what_is_there_and_from_what_it_was_made(
    command: Callable[..., Any], mlruns: Path
) -> None:
    said = command("ls")
    assert (said.code, said.err) == (0, "")
    assert "3 entries" in said.out
    shown = " ".join(said.out.split())
    for words in ("simclr,", "cross_entropy,", "filter", "replicate 0", time.strftime("%Y-%m-%d")):
        assert words in shown
    for entry in entries(mlruns).values():
        assert entry.digest[:8] in said.out
    assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "detect", "fold", "telemetry"])
def test_an_entry_of_another_version_is_listed(stage: str) -> None:
    entry = EntryInfo(stage, "0" * 32, 1, 2, 3.0, 4.0, 5, {"rate": 0.4}, {})
    assert _origin(entry) == "what another version of noisetune reads"


@pytest.mark.parametrize(
    ("detector", "name"),
    [
        ({"method": "confident_learning", "filter_by": "both"}, "filter both"),
        ({"method": "aum"}, "aum"),
    ],
)
def test_an_entry_of_detection_names_the_detector(detector: dict[str, Any], name: str) -> None:
    read = {"detect": detector, "finetune": "0123456789"}
    entry = EntryInfo("detect", "0" * 32, 1, 2, 3.0, 4.0, 5, read, {})
    assert _origin(entry) == f"{name} on 01234567"


def test_ls_says_what_folds_and_telemetry_were_made_from(
    noisetune: Callable[..., Any], tmp_path: Path
) -> None:
    more = TRIAL | {"detect": {"folds": 2}, "telemetry": {}}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(more))
    ran = noisetune("run", tmp_path / "more.yaml", "--mlruns", tmp_path / "mlruns")
    assert ran.code == 0
    assert "by cross-validation, in the training set: f1" in " ".join(ran.out.split())
    shown = " ".join(noisetune("store", "ls", "--mlruns", tmp_path / "mlruns").out.split())
    made = entries(tmp_path / "mlruns")
    assert {"fold", "detect_cv", "telemetry"} <= made.keys()
    assert f"fold 2 of 2 as {made['finetune'].digest[:8]}" in shown
    assert f"on {made['pretrain'].digest[:8]}" in shown


def test_ls_as_json_is_what_the_store_lists(command: Callable[..., Any], mlruns: Path) -> None:
    told = json.loads(command("ls", "--json").out)
    assert [EntryInfo(**each) for each in told] == list(Store.open(mlruns / "stages").list())
    assert {each["stage"]: each["step"] for each in told} == {
        "detect": 0,
        "finetune": 1,
        "pretrain": 1,
    }


def test_ls_of_an_empty_store(noisetune: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for url in (tmp_path / "empty", "memory://nothing-here"):
        assert "0 entries" in noisetune("store", "ls", "--url", url).out
        assert json.loads(noisetune("store", "ls", "--url", url, "--json").out) == []


def test_verify_of_a_sound_store(command: Callable[..., Any]) -> None:
    said = command("verify")
    assert (said.code, said.out.strip()) == (0, "3 entries read, 0 damaged")


def test_verify_sets_aside_what_is_damaged_and_says_so(
    command: Callable[..., Any], noisetune: Callable[..., Any], mlruns: Path
) -> None:
    damage(mlruns, "pretrain")
    said = command("verify")
    assert said.code == 1
    assert "3 entries read, 1 damaged" in said.out
    assert "pretrain/" in said.out
    assert "tensors.safetensors has another SHA-256" in said.out
    assert entries(mlruns).keys() == {"finetune", "detect"}
    assert noisetune("run", mlruns.parent / "one.yaml", "--mlruns", mlruns).code == 0
    assert command("verify").code == 0
    assert entries(mlruns).keys() == {"pretrain", "finetune", "detect"}


def test_gc_evicts_down_to_the_size_and_the_longest_unused_first(
    command: Callable[..., Any], mlruns: Path
) -> None:
    there = entries(mlruns)
    store = Store.open(mlruns / "stages")
    for age, stage in enumerate(("finetune", "pretrain", "detect")):
        (manifest,) = (mlruns / "stages" / stage).rglob("manifest.json")
        store.backend.touch(str(manifest.relative_to(mlruns / "stages")), 1e9 + age)
    limit = there["pretrain"].bytes + there["detect"].bytes
    said = command("gc", "--max-size", limit)
    assert said.code == 0
    assert said.out.startswith("1 entry evicted, ")
    assert entries(mlruns).keys() == {"pretrain", "detect"}
    command("gc", "--max-size", "0")
    assert entries(mlruns) == {}


def test_gc_with_room_to_spare_evicts_nothing(command: Callable[..., Any], mlruns: Path) -> None:
    assert command("gc", "--max-size", "1G").out.startswith("0 entries evicted, 0.0 B freed, ")
    assert len(entries(mlruns)) == 3


@pytest.mark.parametrize("size", ["many", "-1", "20X", "nan", "inf", "1e999", "", "G"])
def test_a_size_that_is_none_is_refused(
    noisetune: Callable[..., Any], tmp_path: Path, size: str
) -> None:
    said = noisetune("store", "gc", f"--max-size={size}", "--mlruns", tmp_path / "mlruns")
    assert said.code == 2
    assert said.err.strip() == (
        f"error: --max-size {size}: write a number of bytes, such as 500M or 20G"
    )
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1234", 1234),
        ("500M", 500_000_000),
        ("20G", 20_000_000_000),
        ("1.5k", 1500),
        (" 2 TB ", 2_000_000_000_000),
        ("1e3", 1000),
        ("512b", 512),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("words", [["ls"], ["verify"], ["gc", "--max-size", "1G"]], ids=" ".join)
def test_a_url_of_no_store_is_refused(noisetune: Callable[..., Any], words: list[str]) -> None:
    said = noisetune("store", *words, "--url", "nonsense://bucket/here")
    assert said.code == 2
    assert said.err.startswith("error: --url: nonsense://bucket/here cannot be opened")


@pytest.mark.parametrize("words", [["ls"], ["verify"], ["gc", "--max-size", "1G"]], ids=" ".join)
def test_a_folder_that_is_not_there_is_not_made(
    noisetune: Callable[..., Any], tmp_path: Path, words: list[str]
) -> None:
    said = noisetune("store", *words, "--mlruns", tmp_path / "mlrnus")
    assert said.code == 2
    assert f"{tmp_path / 'mlrnus'}" in said.err
    assert list(tmp_path.iterdir()) == []
