"""The Slurm script, with stand-ins for what Slurm and the hosts have: requeue included."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from manifests import INFRA

SCRIPT = INFRA / "slurm/sweep.sbatch"
STAND_INS = {
    # Notes what it is asked; names the hosts of a list.
    "scontrol": """echo "scontrol $*" >>"$NOTES"
[ "$1 $2" = "show hostnames" ] && printf '%s\\n' host1 host2 host3; true""",
    # Drops its own options, and runs the rest here.
    "srun": """echo "srun $*" >>"$NOTES"
while [ "${1#--}" != "$1" ] && [ "$1" != "${1#--*}" ]; do shift; done
[ "$1" = hostname ] && { echo 127.0.0.1; exit; }
exec "$@" """,
    # A head that listens, a worker that stays.
    "infra/ray-node": """echo "ray-node $*" >>"$NOTES"
[ "$1" = worker ] && exec sleep 60
exec python3 -m http.server --bind 127.0.0.1 "${2##*:}" """,
    # Notes that it was asked, and runs the rest.
    "infra/with-mps": """echo "with-mps $*" >>"$NOTES"
exec "$@" """,
    # Ends once its workers are there, or at SIGTERM after a moment, as a sweep does.
    "noisetune": """trap 'echo "noisetune stopped" >>"$NOTES"; exit 143' TERM
echo "noisetune $*" >>"$NOTES"
until [ -n "${ENDS:-}" ] && grep -q "^ray-node worker" "$NOTES"; do sleep 0.1; done
exit "$ENDS" """,
}


BEFORE = """
trap 'case $BASH_COMMAND in $BEFORE*) trap - DEBUG; kill -TERM $$ ;; esac' DEBUG
"""
"""Sends the signal just before a command of the script's, by its first words."""


@dataclass(frozen=True)
class Job:
    """A job's folder, with the stand-ins in it."""

    folder: Path

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """The batch script, as Slurm starts it."""
        slurm = {
            "SLURM_SUBMIT_DIR": str(self.folder),
            "SLURM_JOB_ID": str(4321),
            "SLURM_JOB_NODELIST": "host[1-3]",
            "SLURM_CPUS_PER_TASK": "4",
            "NOTES": str(self.folder / "notes"),
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.Popen(
            ["bash", SCRIPT, *words],
            env=os.environ | slurm | env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def notes(self) -> list[str]:
        file = self.folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    def wait_for(self, start: str) -> None:
        deadline = time.monotonic() + 30
        while not any(note.startswith(start) for note in self.notes):
            assert time.monotonic() < deadline, self.notes
            time.sleep(0.05)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    for name, text in STAND_INS.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/usr/bin/env bash\n{text}\n")
        file.chmod(0o755)
    return Job(tmp_path)


def test_a_sweep_is_started_over_all_hosts_of_the_allocation(job: Job) -> None:
    with job.start("my.yaml", "--name", "mine", ENDS="0") as running:
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 0, said
    nodes = [
        note.split(" infra/")[0] for note in job.notes if "ray-node" in note and "srun" in note
    ]
    assert [node.split("--nodelist=")[1] for node in nodes] == ["host1", "host2,host3"]
    (head,) = [note for note in job.notes if note.startswith("ray-node head")]
    assert head.split()[2] == "127.0.0.1:24321"
    sweeps = [note for note in job.notes if note.startswith("noisetune ")]
    assert sweeps == ["noisetune sweep my.yaml --name mine --resume --address 127.0.0.1:24321"]
    assert not any("requeue" in note for note in job.notes)


@pytest.mark.parametrize("asked", ["", "1"])
def test_trials_share_gpus_by_mps_where_that_is_asked_for(job: Job, asked: str) -> None:
    with job.start("my.yaml", ENDS="0", NOISETUNE_MPS=asked) as running:
        running.communicate(timeout=60)
    nodes = [note.split()[2] for note in job.notes if note.startswith("with-mps infra/ray-node")]
    assert nodes == (["head", "worker"] if asked else [])


def test_a_sweep_that_fails_is_the_jobs_failure(job: Job) -> None:
    with job.start("my.yaml", ENDS="2") as running:
        running.communicate(timeout=60)
    assert running.returncode == 2


@pytest.mark.parametrize(
    ("array", "name"),
    [({}, "4321"), ({"SLURM_ARRAY_JOB_ID": "4300", "SLURM_ARRAY_TASK_ID": "2"}, "4300_2")],
    ids=["alone", "of an array"],
)
def test_before_its_time_is_up_it_stops_the_sweep_and_is_queued_again(
    job: Job, array: dict[str, str], name: str
) -> None:
    with job.start("my.yaml", **array) as running:
        job.wait_for("noisetune sweep")
        running.send_signal(signal.SIGTERM)  # to the batch script alone: --signal=B:TERM@180
        said, _ = running.communicate(timeout=60)
    assert job.notes.index("noisetune stopped") < job.notes.index(f"scontrol requeue {name}"), said
    # What Slurm starts again is the same line, and goes on.
    with job.start("my.yaml", ENDS="0", **array) as again:
        again.communicate(timeout=60)
    assert again.returncode == 0
    assert sum("--resume" in note for note in job.notes) == 2


def test_a_job_that_is_stopped_before_its_head_listens_is_queued_again(job: Job) -> None:
    (job.folder / "infra/ray-node").write_text("#!/bin/sh\nexec sleep 60\n")
    with job.start("my.yaml") as running:
        job.wait_for("srun --overlap")
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert job.notes[-1] == "scontrol requeue 4321"


@pytest.mark.parametrize(
    "command", ["mapfile", "head=", "steps=", "others=", "driving=", "driver=", "wait "]
)
def test_at_whatever_moment_it_is_stopped_it_ends_and_is_queued_again(
    job: Job, command: str
) -> None:
    (job.folder / "before").write_text(BEFORE)
    with job.start("my.yaml", BASH_ENV=str(job.folder / "before"), BEFORE=command) as running:
        said, _ = running.communicate(timeout=60)
    assert job.notes.count("scontrol requeue 4321") == 1, said


def test_a_head_that_ends_is_said(job: Job) -> None:
    (job.folder / "infra/ray-node").write_text("#!/bin/sh\nexit 3\n")
    with job.start("my.yaml") as running:
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Ray's head on host1 has ended" in said


def test_it_asks_for_what_goes_on_after_a_requeue() -> None:
    asked = [line.split()[1] for line in SCRIPT.read_text().splitlines() if "#SBATCH" in line[:7]]
    assert {"--requeue", "--open-mode=append", "--signal=B:TERM@180"} <= set(asked)
    assert any(each.startswith("--array=") and each.endswith("%1") for each in asked)
