"""A folder that `datasets.Dataset.save_to_disk` wrote, read by Arrow alone."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from noisetune.clean.source import Source
from noisetune.errors import UserError

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Whether a folder is a data set of Hugging Face, or several splits of one."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def read_saved(folder: Path) -> Source:
    """Its images and labels, the splits one after another.

    The image is the first column of the type Image whose files are inside, the label the column
    of the type ClassLabel, or the one that is called `label`. UserError for anything else.
    """
    splits = [folder]
    if (folder / SPLITS).is_file():
        splits = [folder / name for name in _json(folder / SPLITS, folder)["splits"]]
    paths, labels, encoded, parts = list[str](), list[str](), list[bytes](), list[str]()
    for split in splits:
        for number, (name, label, content) in enumerate(_rows(split, folder)):
            paths.append(f"{split.name}[{number}]" + (f" {name}" if name else ""))
            labels.append(label)
            encoded.append(content)
            parts.append(split.name)
    return Source(
        folder, "datasets", paths, labels, encoded=encoded, parts=parts if splits[1:] else None
    )


def _rows(split: Path, folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, label and encoded image of each row."""
    try:
        # Comes with MLflow, and is needed here alone.
        import pyarrow as arrow
    except ImportError:
        raise UserError(
            f"DATA {folder}: to read a data set of Hugging Face takes pyarrow; pip install pyarrow"
        ) from None
    state, features = _json(split / STATE, folder), _json(split / INFO, folder)["features"]
    if state.get("_indices_data_files"):
        raise UserError(
            f"DATA {folder}: {split.name} is a selection of rows; write it anew by "
            "`flatten_indices().save_to_disk(...)`"
        )
    image, label = _column(features, "Image", "image"), _column(features, "ClassLabel", "label")
    if image is None or label is None:
        raise UserError(
            f"DATA {folder}: {split.name} has the columns {', '.join(features)}; one of images and "
            "one of labels are needed"
        )
    names = features[label].get("names")
    for part in state["_data_files"]:
        with arrow.memory_map(str(split / Path(part["filename"]).name)) as file:
            for batch in arrow.ipc.open_stream(file):
                for picture, given in zip(
                    batch[image].to_pylist(), batch[label].to_pylist(), strict=True
                ):
                    content = picture.get("bytes") if isinstance(picture, Mapping) else None
                    named = names[given] if names and given is not None else str(given)
                    yield (picture or {}).get("path") or "", named, content or b""


def _column(features: Mapping[str, Any], kind: str, usual: str) -> str | None:
    for name, feature in features.items():
        if isinstance(feature, Mapping) and feature.get("_type") == kind:
            return name
    return usual if usual in features else None


def _json(file: Path, folder: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"DATA {folder}: {file} cannot be read ({error}); save the data set anew"
        ) from None
