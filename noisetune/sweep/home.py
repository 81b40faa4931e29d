"""Where sweeps leave things: the folder `mlruns/` and what is in it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folder that holds all that sweeps leave behind: `mlruns/`."""

    root: Path

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def stages(self) -> Path:
        return self.root / "stages"

    def sweep(self, name: str) -> Path:
        return self.root / "sweeps" / name

    def ledger_file(self, name: str) -> Path:
        return self.sweep(name) / "ledger.journal"

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in (self.root / "sweeps").glob("*/ledger.journal"))
