"""`run_sweep` and `drive`: the order of a sweep, stated once, and what Ctrl-C leaves."""

import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
import yaml
from made_up import Heard
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from real_sweep import SWEEP, TRIAL, without_ray

import noisetune as package
from noisetune import run_sweep
from noisetune.bench.engine import instant_pipeline
from noisetune.errors import MachineError, UserError
from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.store import LeaseLost
from noisetune.store.folder import Folder
from noisetune.sweep import run
from noisetune.sweep.home import Home, Site
from noisetune.sweep.run import begun_sweep, drive, new_sweep
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.ledger_file import LedgerFile
from noisetune.sweep.study.storage import open_sweep, read_ledger
from noisetune.tracking.outbox import Outbox, read_messages

SOURCE = Path(package.__file__).parent
STEPS = ("sweep_lease", "drive_ledger", "open_tracker", "check_tracking", "run_trials")
SCRATCH = TRIAL | {"pretrain": {"method": "none"}}
RATES = {"parameters": {"finetune.lr": {"choices": [0.001, 0.003]}}}
EPOCHS = 40  # of the sweep that is stopped: a second or two
SCRIPT = """
import json, sys
from pathlib import Path
import noisetune
given = json.loads(Path(sys.argv[1]).read_text())
noisetune.run_sweep(**given, say=print)
"""


def given(name: str = "mine", **sweep: Any) -> dict[str, Any]:
    """A sweep of two trials as a mapping, and its search space."""
    return {"file_or_config": {**SWEEP, "name": name, "trial": SCRATCH, **sweep}, "space": RATES}


@pytest.fixture
def here() -> Iterator[None]:
    with without_ray():
        yield


def records(home: Home, name: str) -> list[TrialRecord]:
    sweep, ledger = open_sweep(home, name)
    return ledger.records(sweep.cells)


@pytest.mark.parametrize("folder", ["cli", "bench"])
def test_the_order_stands_once(folder: str) -> None:
    sources = {file.name: file.read_text() for file in (SOURCE / folder).glob("*.py")}
    copies = [(name, step) for name, text in sources.items() for step in STEPS if step in text]
    assert copies == []


@pytest.mark.parametrize(
    "file",
    ["cli/sweep_commands.py", "bench/engine.py", "bench/sharing.py", "bench/stack.py"],
)
def test_whoever_runs_a_sweep_calls_it(file: str) -> None:
    text = (SOURCE / file).read_text()
    assert re.search(r"from noisetune\.sweep\.run import .*\bdrive\b", text)


def test_nothing_of_it_prints_or_knows_the_command_line() -> None:
    for file in (SOURCE / "sweep").rglob("*.py"):
        assert not re.search(r"\bprint\(|\btyper\b|noisetune\.cli", file.read_text()), file


class Order:
    """A reporter that notes when it is called, and what the ledger says then."""

    def __init__(self) -> None:
        self.heard = Heard()

    def say(self, line: str) -> None:
        self.heard.words.append(line)

    @contextmanager
    def watching(self, sweep: Sweep, ledger: Ledger) -> Iterator[Sequence[Heard]]:
        self.heard.words.append(f"{len(ledger.records(sweep.cells))} trials before")
        yield [self.heard]
        self.heard.words.append(f"{len(ledger.records(sweep.cells))} trials after")


def failing_until(mended: Path) -> Callable[..., Any]:
    """A pipeline whose second setting fails until there is a file."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def pipeline(config: Any, *_: object) -> Any:
        yield MetricPoint("finetune", 1, {"val/accuracy": config.finetune.lr})
        if config.finetune.lr == 0.003 and not mended.exists():
            raise RuntimeError("the disk was full")
        best = {"epoch": 1.0, "test/accuracy": 0.5}
        return TrialResult(config.to_json(), {"last": best}, {"f1": 0.5}, {}, {})

    return pipeline


def test_what_failed_is_run_again_where_it_is_asked_for(tmp_path: Path, here: None) -> None:
    site, mended = Site.of(tmp_path), tmp_path / "mended"
    pipeline = failing_until(mended)
    drive(new_sweep(*given().values()), site, pipeline=pipeline)
    mended.touch()
    order = Order()
    sweep = begun_sweep(site.home, "mine")
    drive(sweep, site, order, resume=True, pipeline=pipeline, retry_failed=True)
    failed = next(each for each in records(site.home, "mine") if each.state == "failed")
    assert f"run again: 1 failed: {failed.name}" in order.heard.words
    assert failed.reason == "RuntimeError: the disk was full"
    done = {each.name: each for each in records(site.home, "mine") if each.state == "complete"}
    assert sorted(each.parameters["finetune.lr"] for each in done.values()) == [0.001, 0.003]
    assert done["all trial 2"].config == failed.config


def without_memory_until(mended: Path) -> Callable[..., Any]:
    """A pipeline whose second replicate finds no memory until there is a file."""

    def pipeline(config: Any, *_: object) -> Any:
        yield MetricPoint("finetune", 1, {"val/accuracy": 0.5})
        if config.replicate == 2 and not mended.exists():
            raise torch.OutOfMemoryError("of the GPU others have the most")
        last = {"epoch": 1.0, "test/accuracy": 0.5}
        return TrialResult(config.to_json(), {"last": last}, {"f1": 0.5}, {}, {})

    return pipeline


def test_a_replicate_that_the_machine_failed_is_run_again_unasked(
    tmp_path: Path, here: None
) -> None:
    site, mended, order = Site.of(tmp_path), tmp_path / "mended", Order()
    pipeline = without_memory_until(mended)
    outcome = drive(new_sweep(*given(replicates=3).values()), site, pipeline=pipeline)
    assert outcome.failed == ["all replicate 1"]
    mended.touch()
    outcome = drive(begun_sweep(site.home, "mine"), site, order, resume=True, pipeline=pipeline)
    assert "run again: 1 failed: all replicate 1" in order.heard.words
    assert (outcome.failed, outcome.scheduler.finished) == ([], True)
    done = [each for each in records(site.home, "mine") if each.state == "complete"]
    assert sorted(each.seed for each in done) == [0, 0, 1, 2, 3]


def full_from(number: int, write: Callable[..., Any]) -> Callable[..., Any]:
    """A write that the disk has no room for from the `number`-th on."""
    calls = itertools.count(1)

    def refusing(*given: Any, **options: Any) -> Any:
        if next(calls) >= number:
            raise OSError(errno.ENOSPC, "No space left on device", "it")
        return write(*given, **options)

    return refusing


@pytest.mark.long
@pytest.mark.parametrize(
    "number", [1, *(pytest.param(each, marks=pytest.mark.long) for each in (2, 4))]
)
@pytest.mark.parametrize(
    ("place", "write"),
    [(Folder, "commit"), (LedgerFile, "append_logs"), (Outbox, "append")],
    ids=["store", "ledger", "outbox"],
)
def test_a_full_disk_is_one_message_and_a_resume_ends_the_sweep(
    tmp_path: Path,
    here: None,
    monkeypatch: pytest.MonkeyPatch,
    place: type,
    write: str,
    number: int,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place, write, full_from(number, getattr(place, write)))
        with pytest.raises(
            MachineError, match=r"No space left on device; free some|is full: .* needed"
        ):
            run_sweep(**given(), mlruns=tmp_path)
    run_sweep(**given(), mlruns=tmp_path, resume=True)
    assert [each.state for each in records(Home(tmp_path), "mine")] == ["complete"] * 2
    last = list(read_messages(Home(tmp_path).outbox("mine")))[-1]
    assert (last["kind"], last["state"]) == ("sweep", "complete")


def test_a_sweep_in_which_trials_failed_says_how_many_and_ends_with_1(
    tmp_path: Path, here: None, noisetune: Callable[..., Any]
) -> None:
    sweep = given(name="partly")["file_or_config"] | {"search_space": "space.yaml"}
    rates = {"parameters": {"finetune.lr": {"choices": [0.001, 1e30]}}}
    for name, content in (("sweep", sweep), ("space", rates)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    told = noisetune("sweep", tmp_path / "sweep.yaml", "--mlruns", tmp_path / "mlruns")
    assert told.code == 1
    assert "1 trial failed; run what failed again with:" in told.out
    assert "noisetune resume partly --retry-failed" in told.out
    states = Counter(each.state for each in records(Home(tmp_path / "mlruns"), "partly"))
    assert states == {"complete": 1, "failed": 1}


@pytest.mark.parametrize("step", ["drive_ledger", "open_tracker", "_run", "_close"])
def test_a_driver_that_is_taken_over_anywhere_says_so_in_one_message(
    tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise LeaseLost

    monkeypatch.setattr(run, step, lost)
    sweep = new_sweep(*given().values())
    message = "'mine': another process has taken this sweep over; this one has ended"
    with pytest.raises(UserError, match=message):
        drive(sweep, Site(Home(tmp_path)), pipeline=instant_pipeline)


def test_a_sweep_that_begins_has_nothing_to_run_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="retry_failed: a sweep that begins has no failed trial"):
        run_sweep(**given(), mlruns=tmp_path, retry_failed=True)


def test_a_reporter_hears_of_all_in_its_order(tmp_path: Path, here: None) -> None:
    sweep, order = new_sweep(*given(max_concurrent=1).values()), Order()
    outcome = drive(sweep, Site.of(tmp_path), order)
    assert outcome.scheduler.finished
    assert (outcome.delivered, outcome.interrupted) == (True, False)
    trial = ["finetune 1", "finetune 2", "detect 0"]
    assert order.heard.words == [
        "starting Ray on this machine ...",
        "0 trials before",
        *("started all trial 0", *trial, "ended all trial 0"),
        *("started all trial 1", *trial, "ended all trial 1"),
        "2 trials after",
    ]


def test_the_outbox_ends_with_the_winner_and_the_end(tmp_path: Path, here: None) -> None:
    results = run_sweep(**given(), mlruns=tmp_path)
    kinds = [message["kind"] for message in read_messages(results.home.outbox("mine"))]
    assert (kinds[0], kinds[-1]) == ("sweep", "sweep")
    assert {"tags", "artifact", "file"} < set(kinds)
    assert kinds.index("tags") > kinds.index("ended")
    (experiment,) = (
        each
        for each in MlflowClient(results.home.tracking_uri).search_experiments()
        if each.name == "mine"
    )
    assert len(MlflowClient(results.home.tracking_uri).search_runs([experiment.experiment_id])) == 3


@pytest.mark.long
def test_a_finished_sweep_rebuilds_a_database_that_was_lost(tmp_path: Path, here: None) -> None:
    def rows() -> set[tuple[str, str, int]]:
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("mine")
        runs = client.search_runs([experiment.experiment_id])
        return {(r.info.run_name, r.info.status, len(r.data.metrics)) for r in runs}

    run_sweep(**given(), mlruns=tmp_path)
    before = rows()
    # Else this process goes on writing to the file that is gone.
    SqlAlchemyStore._get_or_create_engine(f"sqlite:///{tmp_path / 'mlflow.db'}").dispose()
    (tmp_path / "mlflow.db").unlink()
    run_sweep(**given(), mlruns=tmp_path, resume=True)
    assert rows() == before
    assert len(before) == 3


@pytest.mark.parametrize("name", ["a%2Fb", "a?b"])
def test_a_folder_that_mlflow_takes_for_another_is_refused_before_anything_starts(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="rename that folder"):
        run_sweep(**given(), mlruns=tmp_path / name / "mlruns")
    assert list(tmp_path.rglob("*")) == [tmp_path / name]


def test_without_a_tracking_uri_mlflow_is_told_nothing(tmp_path: Path, here: None) -> None:
    home = Home(tmp_path)
    outcome = drive(new_sweep(*given().values()), Site(home))
    assert (outcome.scheduler.finished, outcome.delivered) == (True, True)
    assert any(message["kind"] == "point" for message in read_messages(home.outbox("mine")))
    assert not (tmp_path / "mlflow.db").exists()
    assert not home.stages.exists()


def test_a_sweep_is_given_as_file_mapping_or_configuration(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(RATES))
    raw = given()["file_or_config"] | {"search_space": "space.yaml"}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(raw))
    config, settings = parse_sweep(raw, "the test"), ["replicates=2"]
    sweeps = [
        Sweep.read(tmp_path / "sweep.yaml", None, "other", settings),
        Sweep.read(str(tmp_path / "sweep.yaml"), RATES, "other", settings),
        Sweep.read(raw, tmp_path / "space.yaml", "other", settings),
        Sweep.read(config, sweep_space(), "other", settings),
    ]
    definitions = [sweep.definition() for sweep in sweeps]
    assert definitions == [definitions[0]] * 4
    assert (sweeps[0].config.name, sweeps[0].config.replicates) == ("other", 2)


def sweep_space() -> Any:
    return Sweep.read(*given().values()).space


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": None}, "space: a sweep that is no file needs its search space beside it"),
        ({"space": {"parameter": {}}}, "the search space: parameter: no such field; did you mean"),
        ({"settings": ["trails=3"]}, "the sweep: trails: no such field"),
        (
            {"settings": ["trial.finetune.epochs=many"]},
            "the sweep with the search space: .*finetune.epochs",
        ),
        ({"settings": ["resources.cpu=9999"]}, "the sweep: resources.cpu: 9999 is more than this"),
        ({"settings": ["warm_start=[early]"]}, "warm_start: no earlier sweep 'early'"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    arguments = {**given(), "mlruns": tmp_path, **change}
    with pytest.raises(UserError, match=message):
        run_sweep(**arguments)
    assert not list(tmp_path.iterdir())


def test_a_name_is_taken_until_resume_is_said(tmp_path: Path, here: None) -> None:
    first = run_sweep(**given(), mlruns=tmp_path).trials()
    with pytest.raises(UserError, match="the sweep: name: a sweep 'mine' exists already"):
        run_sweep(**given(), mlruns=tmp_path)
    grown = run_sweep(**given(replicates=2), mlruns=tmp_path, resume=True).trials()
    assert len(grown) == len(first) + 2
    assert grown.head(2).equals(first)


def test_a_finished_sweep_is_resumed_without_ray(
    tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_sweep(**given(), mlruns=tmp_path).trials()

    def started(*_: Any) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(run, "_session", started)
    said: list[str] = []
    again = run_sweep(**given(), mlruns=tmp_path, resume=True, say=said.append)
    assert said == ["sweep 'mine' is finished: nothing is left to run"]
    assert again.trials().equals(first)
    with pytest.raises(AssertionError, match="Ray was started"):
        run_sweep(**given(replicates=1), mlruns=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("address", "127.0.0.1:9", "--address 127.0.0.1:9: no Ray cluster answers there"),
        ("tracking_uri", "http://127.0.0.1:9", "--tracking-uri: MLflow at http://127.0.0.1:9 does"),
    ],
)
def test_what_does_not_answer_leaves_no_folder(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: str,
    message: str,
) -> None:
    # The Ray that other tests share would be taken for the cluster.
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UserError, match=message) as refused:
        run_sweep(**given(), mlruns=tmp_path / "mlruns", **{option: value})
    assert len(str(refused.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_begun_sweep_is_what_it_was(tmp_path: Path, here: None) -> None:
    run_sweep(**given(), mlruns=tmp_path)
    again = begun_sweep(Home(tmp_path), "mine", ["replicates=1"])
    assert again.definition() == new_sweep(*given(replicates=1).values()).definition()


def test_a_smoke_run_is_made_of_what_is_given(tmp_path: Path) -> None:
    said: list[str] = []
    sweep = new_sweep(*given().values(), smoke=tmp_path, say=said.append)
    assert (sweep.config.name, sweep.config.smoke) == ("mine-smoke", True)
    assert sweep.sources == ("the sweep", "the search space")
    assert said


@pytest.fixture
def stopped(tmp_path: Path) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """A script whose `run_sweep` met Ctrl-C while a trial ran and another had ended."""
    trial = SCRATCH | {"finetune": {"epochs": EPOCHS, "batch_size": 16}}
    sizes = {"sampler": {"name": "random"}, "trials_per_condition": 4, "max_concurrent": 2}
    arguments = {**given("cut", trial=trial, **sizes), "mlruns": str(tmp_path / "mlruns")}
    (tmp_path / "given.json").write_text(json.dumps(arguments))
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "given.json")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, start_new_session=True, **pipes)
    try:
        wait_for(lambda: under_way(Home(tmp_path / "mlruns")), process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return arguments, subprocess.CompletedProcess(command, process.returncode, out, err)


def under_way(home: Home) -> bool:
    if read_ledger(home, "cut") is None:
        return False
    states = Counter(record.state for record in records(home, "cut"))
    return states["complete"] >= 1 and states["running"] >= 1


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.long
def test_ctrl_c_leaves_a_sweep_that_goes_on(
    stopped: tuple[dict[str, Any], subprocess.CompletedProcess[str]], here: None
) -> None:
    arguments, script = stopped
    home = Home(Path(arguments["mlruns"]))
    before = {record.name: record for record in records(home, "cut")}
    assert script.stderr.splitlines()[-1].startswith("KeyboardInterrupt: sweep 'cut' was stopped")
    assert {record.state for record in before.values()} == {"complete", "running"}
    last = list(read_messages(home.outbox("cut")))[-1]
    assert (last["kind"], last["state"]) == ("sweep", "interrupted")

    results = run_sweep(**arguments, resume=True)
    after = {record.name: record for record in records(home, "cut")}
    assert Counter(record.state for record in after.values()) == {"complete": 4}
    for name, record in before.items():
        assert after[name].config == record.config
        if record.state == "complete":
            assert after[name] == record
    curves = results.curves()
    steps = curves[curves["metric"] == "val/accuracy"].groupby("trial")["step"].apply(list)
    assert steps.to_list() == [list(range(1, EPOCHS + 1))] * 4
