"""The command line: parses, calls, prints; nothing else."""

from __future__ import annotations

from burnish.cli import lab, ledger, people, refinery  # (they register their verbs)
from burnish.cli.common import main

__all__ = ["lab", "ledger", "main", "people", "refinery"]
