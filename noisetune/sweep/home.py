"""Where sweeps leave things: the folder `mlruns/` and what is in it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folder that holds all that sweeps leave behind: `mlruns/`."""

    root: Path

    @property
    def tracking_uri(self) -> str:
        """MLflow's database, where no server is named."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

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

    def names(self) -> list[str]:
        """The sweeps that have a ledger here."""
        return sorted(path.parent.name for path in (self.root / "sweeps").glob("*/ledger.journal"))
