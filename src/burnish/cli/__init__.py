"""The command line: parses, calls, prints; nothing else."""

from __future__ import annotations

from burnish.cli import experiments, ledger, refinement  # (they register their verbs)
from burnish.cli.common import main

__all__ = ["experiments", "ledger", "main", "refinement"]
