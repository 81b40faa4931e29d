"""Data sets that were loaded, remembered in one place."""

from noisetune.data.base import DataConfig, ImageData


class Datasets:
    """Loads each data set once in the life of this object.

    Whoever starts a command makes one and hands it on. None lives longer: files may change
    between two commands of a notebook.
    """

    def __init__(self) -> None:
        self._loaded: dict[DataConfig, ImageData] = {}

    def load(self, config: DataConfig) -> ImageData:
        """The data of a configuration; UserError where its files are missing or malformed."""
        if config not in self._loaded:
            self._loaded[config] = config.load()
        return self._loaded[config]
