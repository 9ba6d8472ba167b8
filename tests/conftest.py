"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("burnish", deadline=None)  # a busy machine is no failure
settings.load_profile("burnish")

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: more threads would wait for each other's cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _done(handle: int) -> None:
    """Sync nothing."""


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Generator[None]:
    """Leave it to the system when files reach the disk: thousands of syncs take longer than what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, _done, raising=False)
        yield


@pytest.fixture
def data_dir() -> Path:
    """The real data sets that some tests read; BURNISH_TEST_DATA names the folder."""
    place = os.environ.get("BURNISH_TEST_DATA")
    if not place:
        pytest.skip("BURNISH_TEST_DATA is not set")
    return Path(place)
