"""Data sets that were loaded, remembered in one place."""

from noisetune.data.base import DataConfig, ImageData


class Datasets:
    """Loads each data set once in the life of this object.

    Whoever starts a command makes one and hands it on. None lives longer: files may change
    between two commands of a notebook. Without `fetch` nothing is downloaded: of what is not here
    the facts are given, without an image.
    """

    def __init__(self, fetch: bool = True) -> None:
        self.fetch = fetch
        self._loaded: dict[DataConfig, ImageData] = {}

    def load(self, config: DataConfig) -> ImageData:
        """The data of a configuration; UserError where its files are missing or malformed."""
        if config not in self._loaded:
            self._loaded[config] = config.load() if self.fetch else config.here() or config.facts()
        return self._loaded[config]
