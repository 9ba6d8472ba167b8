"""Datasets of the `datasets` library: a refined file as one, and one as a file that can be refined."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
from pathlib import Path
from typing import Any

import orjson

from burnish.errors import BackendError
from burnish.store import full_disk, read_objects


def read_dataset(path: Path) -> Any:
    """Return a JSONL, JSON, CSV or Parquet file as a `datasets.Dataset` in memory, columns and rows in their order."""
    library = _library()
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return library.Dataset(importlib.import_module("pyarrow.parquet").read_table(path))
    if name.endswith(".jsonl"):
        return library.Dataset.from_list([row for _, row in read_objects(path)])
    if name.endswith(".json"):
        return library.Dataset.from_list(orjson.loads(path.read_bytes()))
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8-sig")
    dialect = csv.Sniffer().sniff(text.splitlines()[0], ",;\t")
    return library.Dataset.from_list(list(csv.DictReader(io.StringIO(text, newline=""), dialect=dialect)))


def write_dataset(dataset: Any, folder: Path) -> Path:
    """Write a `datasets.Dataset` as Parquet, named by its fingerprint; returns the file."""
    path = folder / f"{dataset._fingerprint}.parquet"
    if not path.exists():
        with full_disk(path):
            folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.part")
            dataset.to_parquet(str(beside))
            beside.replace(path)
    return path


def _library() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise BackendError("datasets is not installed; install: pip install 'burnish[train]'") from None
