"""Names that MLflow takes: without what it refuses, within its lengths, no two of them alike."""

import posixpath
import re

from noisetune.texts import marked, shortened

NAME_LENGTH, TAG_LENGTH, PARAM_LENGTH = 250, 5000, 6000
DATASET_LENGTH, DIGEST_LENGTH = 500, 36
REFUSED_IN_NAMES = re.compile(r"[^\w.\-: /]")


def safe_name(name: str) -> str:
    """A name of a metric, parameter or tag, as MLflow takes it; a changed one has a digest."""
    kept = REFUSED_IN_NAMES.sub("_", name)
    if kept.startswith((".", "/")) or posixpath.normpath(kept) != kept:
        kept = "_" + kept.replace("/", "_")
    return shortened(name, NAME_LENGTH) if kept == name else marked(kept, name, NAME_LENGTH)
