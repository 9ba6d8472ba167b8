"""The command line. It reads the arguments, calls a function and prints the result. It holds no other logic."""

from __future__ import annotations

# Importing these modules registers their commands with `main`.
from burnish.cli import (
    lab,
    labelled,
    ledger,
    people,
    refinery,
    rewards,
    seam,
    study,
    study_figure,
    study_serving,
    workers,
)
from burnish.cli.common import main

__all__ = [
    "lab",
    "labelled",
    "ledger",
    "main",
    "people",
    "refinery",
    "rewards",
    "seam",
    "study",
    "study_figure",
    "study_serving",
    "workers",
]
