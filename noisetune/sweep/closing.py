"""What a finished sweep leaves in MLflow: its winners, as configurations, files and models."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from noisetune.config import TrialConfig
from noisetune.datasets import Datasets
from noisetune.errors import UserError
from noisetune.inference import input_shape, write_network
from noisetune.pipeline import trained_network
from noisetune.records import TrialRecord
from noisetune.store import StoreLike
from noisetune.sweep.home import Site
from noisetune.sweep.reporter import Say
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.trial_files import Told, looked_at_closely, publish_files, trial_files
from noisetune.sweep.winners import chosen_trials
from noisetune.texts import file_stem
from noisetune.tracking.messages import config_text
from noisetune.tracking.outbox import read_messages
from noisetune.tracking.tracker import Tracker

MODELS = "models"


@dataclass(frozen=True)
class Closing:
    """A sweep that may be finished, who is told of it, and where its data and stages are.

    `report`: its report is made, too.
    """

    sweep: Sweep
    site: Site
    tracker: Tracker
    datasets: Datasets
    say: Say
    report: bool = False

    def publish(self, records: Sequence[TrialRecord]) -> None:
        """All of it; what is there from an earlier end of the sweep stays."""
        winners = chosen_trials(self.sweep, records)
        self._winners(winners)
        self._files(records, {each.name for each in winners.values()})
        if self.site.register:
            self._models(winners)
        if self.report:
            # What draws takes seconds to import.
            from noisetune.sweep.reports import publish_report

            publish_report(self.site.home, self.sweep.config.name, self.tracker, self.say)

    @property
    def folder(self) -> Path:
        return self.site.home.sweep(self.sweep.config.name)

    def _winners(self, winners: Mapping[str, TrialRecord]) -> None:
        """A tag on their runs, their configurations on the sweep's run."""
        for file, trial in winners.items():
            self.tracker.tags(trial.name, {"noisetune.best": trial.condition})
            self.tracker.artifact(f"best/{file}.yaml", config_text(trial.config))

    def _files(self, records: Sequence[TrialRecord], drawn: Collection[str]) -> None:
        """Tables of the winners and their replicates, and figures of those that are `drawn`."""
        name, home = self.sweep.config.name, self.site.home
        closely = looked_at_closely(self.sweep, records)
        told = Told.of(read_messages(home.outbox(name)), (each.name for each in closely))
        known = {trial for trial, _ in told.files}
        for trial in closely:
            if trial.name not in known:
                try:
                    kept = home.predictions(name).read(trial.name)
                    classes = self.datasets.load(self._config(trial).data).class_names
                except UserError as error:
                    # Damaged, or of an earlier version: the others have theirs.
                    self.say(f"no figures of {trial.name}: {error}")
                    continue
                curves = told.curves.get(trial.name, {})
                files = trial_files(curves, kept, classes, figures=trial.name in drawn)
                publish_files(self.tracker, self.folder, trial, files)

    def _models(self, winners: Mapping[str, TrialRecord]) -> None:
        """Each winner as a registered model; what is in no store is said."""
        if self.sweep.config.objective.several:
            return self.say("--register: with several goals nothing wins, so none is registered")
        if self.site.stages is None:
            return self.say("--register: without shared stages no winner's weights were kept")
        self.say("registering the winners in MLflow ...")
        store = self.site.stored
        for file, trial in winners.items():
            place = f"{MODELS}/{file_stem(trial.name)}"
            if not (self.folder / place).is_dir() and not self._write(store, trial, place):
                self.say(f"--register: {trial.name}: its weights are in the store no more")
                continue
            self.tracker.model(f"{self.sweep.config.name}-{file}", place, trial.name)

    def _write(self, store: StoreLike, trial: TrialRecord, place: str) -> bool:
        """Make the folder of a model; False where its weights are not there."""
        from noisetune.tracking.model_folder import write_model

        config = self._config(trial)
        data = self.datasets.load(config.data)
        network = trained_network(config, data, store)
        if network is None:
            return False
        (self.folder / MODELS).mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as aside:
            file = Path(aside) / "network.safetensors"
            write_network(file, config, data, network)
            shape = input_shape(config, data)
            write_model(self.folder / place, _code(), file, shape, data.classes, ["noisetune"])
        return True

    def _config(self, trial: TrialRecord) -> TrialConfig:
        return TrialConfig.parse(trial.config, "ledger")


def _code() -> Path:
    """The file that serves a model. It is found and not imported: it tells MLflow of itself."""
    found = find_spec("noisetune.serving.mlflow_model")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin)
