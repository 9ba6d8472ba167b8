"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("burnish", deadline=None)  # a busy machine is no failure
settings.load_profile("burnish")


@pytest.fixture
def data_dir() -> Path:
    """The real data sets that some tests read; BURNISH_TEST_DATA names the folder."""
    place = os.environ.get("BURNISH_TEST_DATA")
    if not place:
        pytest.skip("BURNISH_TEST_DATA is not set")
    return Path(place)
