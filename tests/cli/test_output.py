"""What commands do where nobody can read what they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(tmp_path: Path) -> None:
    handle = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-m", "burnish", "show", str(tmp_path / "nothing"), "x"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=handle, check=False)
    os.close(handle)
    assert done.returncode == 2


@pytest.mark.slow
def test_a_closed_stdout_is_no_traceback(tmp_path: Path) -> None:
    predictions = tmp_path / "p.jsonl"
    predictions.write_text('{"prediction": "#### 1", "reference": "1"}\n')
    command = [sys.executable, "-m", "burnish", "grade", "gsm8k", str(predictions), "--json"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
