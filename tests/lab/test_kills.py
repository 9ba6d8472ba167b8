"""SIGKILL at random moments on the real backend; benchmarks/kills.py does the same twenty times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="who is alive is read from /proc")
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes() -> None:
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "3", "--train", "200", "--seeds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] == 3
    assert result["results_identical"]
