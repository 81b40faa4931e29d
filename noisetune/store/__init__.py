"""Stages computed once and shared: keys, artifacts, leases and the store that holds them."""

from noisetune.sizes import UNITS, parse_size

from .answering import open_answering
from .artifact import Artifact
from .folder_leases import FolderLeases
from .keys import StageKey
from .lease import Lease, LeaseInfo, LeaseLost
from .store import NullStore, ReadOnly, Store, StoreFull, StoreLike
from .upkeep import EntryInfo, GcReport, VerifyReport

__all__ = [
    "UNITS",
    "Artifact",
    "EntryInfo",
    "FolderLeases",
    "GcReport",
    "Lease",
    "LeaseInfo",
    "LeaseLost",
    "NullStore",
    "ReadOnly",
    "StageKey",
    "Store",
    "StoreFull",
    "StoreLike",
    "VerifyReport",
    "open_answering",
    "parse_size",
]
