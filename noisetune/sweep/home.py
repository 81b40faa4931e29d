"""Where sweeps leave things: the folder `mlruns/` and what is in it; and where one runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noisetune.files import check_folder, check_room

if TYPE_CHECKING:
    from noisetune.predictions import PredictionsFolder
    from noisetune.store import StoreLike

DEFAULT_MLRUNS = Path("mlruns")
"""The home folder where no other is named."""


@dataclass(frozen=True)
class Home:
    """The folder that holds all that sweeps leave behind: `mlruns/`.

    `ledger` is the URL of the database that was given for a sweep's ledger, if one was.
    """

    root: Path
    ledger: str | None = None

    @property
    def tracking_uri(self) -> str:
        """MLflow's database, where no server is named."""
        # MLflow keeps its connections by address: a relative one would be another folder's, too.
        return f"sqlite:///{self.root.absolute() / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts, where no server is named."""
        return self.root / "artifacts"

    @property
    def stages(self) -> Path:
        """The store of stages, where no other is named."""
        return self.root / "stages"

    def sweep(self, name: str) -> Path:
        """The folder of a sweep: its ledger, its outbox, its driver's lease, Ray's files."""
        return self.root / "sweeps" / name

    def ledger_file(self, name: str) -> Path:
        """The ledger of a sweep, whether there is one or not."""
        return self.sweep(name) / "ledger.journal"

    def ledger_note(self, name: str) -> Path:
        """Which database has the ledger of a sweep, where it is in one."""
        return self.sweep(name) / "ledger.json"

    def outbox(self, name: str) -> Path:
        """What a sweep told its tracker, and with it the curves of its trials."""
        return self.sweep(name) / "outbox.jsonl"

    def predictions(self, name: str) -> "PredictionsFolder":
        """What the trials of a sweep predict of each test image."""
        from noisetune.predictions import PredictionsFolder

        return PredictionsFolder(self.sweep(name) / "predictions")

    def log(self, name: str) -> Path:
        """What drivers of a sweep said and met, and when."""
        return self.sweep(name) / "log.txt"

    def status_file(self, name: str) -> Path:
        """What the driver of a sweep knows at the moment; there while it drives."""
        return self.sweep(name) / "status.json"

    def drives(self, name: str) -> Path:
        """Where a sweep was driven: a line for each time."""
        return self.sweep(name) / "drives.jsonl"

    def report(self, name: str) -> Path:
        """The folder of a sweep's report."""
        return self.sweep(name) / "report"

    def names(self) -> list[str]:
        """The sweeps that have a ledger here."""
        kinds = ("*/ledger.journal", "*/ledger.json")
        ledgers = (path for kind in kinds for path in (self.root / "sweeps").glob(kind))
        return sorted({path.parent.name for path in ledgers})

    def shared_stages(self, store: str | None = None, share: bool = True) -> str | None:
        """Where stages are shared: at `store`, a folder or a URL, or here; None: they are not."""
        if not share:
            return None
        if store is not None and "://" in store:
            return store
        # Trials may run in another folder than this one.
        return str(Path(store or self.stages).expanduser().resolve())


@dataclass(frozen=True)
class Site:
    """Where a sweep runs, and where it leaves things.

    `stages` is the folder or URL that finished stages are shared in (None: each trial computes its
    own), `address` a Ray cluster's (None: this machine), `tracking_uri` MLflow's (None: it is
    told nothing). `allow_write` are folders that its YAML file may have written to, beside its own,
    the home folder and the cache. `register`: MLflow gets the winners as models, `system_metrics`:
    what the driver's machine does.
    """

    home: Home
    stages: str | None = None
    address: str | None = None
    tracking_uri: str | None = None
    allow_write: tuple[Path, ...] = ()
    register: bool = False
    system_metrics: bool = False

    @classmethod
    def of(
        cls,
        mlruns: str | Path,
        store: str | None = None,
        share: bool = True,
        address: str | None = None,
        tracking_uri: str | None = None,
        allow_write: Iterable[str | Path] = (),
        ledger: str | None = None,
    ) -> "Site":
        """What the options of `noisetune sweep` say; what is left out is in the mlruns folder."""
        home = Home(check_folder(Path(mlruns), "--mlruns"), ledger)
        if store is not None and "://" not in store:
            check_folder(Path(store), "--store")
        stages = home.shared_stages(store, share)
        leave = tuple(Path(each).expanduser() for each in allow_write)
        return cls(home, stages, address, tracking_uri or home.tracking_uri, leave)

    @property
    def stages_option(self) -> str:
        """The option that says where stages are."""
        return "--mlruns" if self.stages == self.home.shared_stages() else "--store"

    def check_room(self) -> None:
        """UserError where the folders of sweeps or stages are not there and cannot be made."""
        check_room(self.home.root, "--mlruns")
        if self.stages is not None and "://" not in self.stages:
            check_room(Path(self.stages), self.stages_option)

    @property
    def artifacts(self) -> Path | None:
        """Where MLflow's artifacts go; None where its server decides that."""
        served = self.tracking_uri is not None and self.tracking_uri.startswith("http")
        return None if served else self.home.artifacts

    @property
    def stored(self) -> "StoreLike":
        """The stages that there are. It makes no folder: where none is, nothing is stored.

        UserError where they are at a URL that does not answer.
        """
        from noisetune.store import NullStore, open_answering

        there = self.stages is not None and ("://" in self.stages or Path(self.stages).is_dir())
        return open_answering(str(self.stages), self.stages_option) if there else NullStore()
