"""The command line. It reads the arguments, calls a function and prints the result. It holds no other logic."""

from __future__ import annotations

# Importing these modules registers their commands with `main`.
from burnish.cli import lab, ledger, people, refinery, rewards, seam, study, study_figure
from burnish.cli.common import main

__all__ = ["lab", "ledger", "main", "people", "refinery", "rewards", "seam", "study", "study_figure"]
