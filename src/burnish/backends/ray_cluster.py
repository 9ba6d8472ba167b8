"""The connection to a Ray cluster."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def connected(address: str) -> Any:
    """Connect this process to the cluster at `address` (HOST:PORT or `auto`), and return the module `ray`.

    Ray waits for two minutes for a cluster that does not answer, and then ends the process. What tasks print is not
    passed on.
    """
    # Not an import statement: ray is an extra, and type checkers would not find it.
    ray = importlib.import_module("ray")
    importlib.import_module("ray.exceptions")
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    return ray


if __name__ == "__main__":
    connected(sys.argv[1]).shutdown()
