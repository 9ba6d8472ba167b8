"""What all tests share."""

from __future__ import annotations

import gc
import os
import ssl
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from burnish.report import drawing, figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

settings.register_profile("burnish", deadline=None)  # a busy machine is no failure
settings.load_profile("burnish")

# The tests need no hub. Without this, a model of the hub that is only planned would be looked for again and again.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: more threads would wait for each other's cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


MEMORY, ENOUGH = Path("/dev/shm"), 6 << 30


def _takes_files(place: Path) -> bool:
    """Say whether a folder in memory is there, has room, and lets programs start."""
    if not os.access(place, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize >= ENOUGH and not found.f_flag & os.ST_NOEXEC


if _takes_files(MEMORY):  # the tests write tens of thousands of small files, which a disk is slow at
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """Tell the garbage collector to leave alone what the imports made.

    The model libraries make about a million objects that live to the end. To go through them at each full collection
    takes a sixth of the time of all tests.
    """
    gc.collect()
    gc.freeze()


def _done(*_: object, **__: object) -> None:
    """Do nothing."""


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Generator[None]:
    """Leave it to the system when files reach the disk: thousands of syncs take longer than what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, _done, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def without_certificates() -> Generator[None]:
    """Load no certificates: no test speaks TLS, but each HTTP client would read all of them, which takes 0.04 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", _done)
        yield


@pytest.fixture(scope="session", autouse=True)
def drawn_once() -> Generator[dict[str, str]]:
    """Draw the same figure once in a process: many runs here are compared. Yields what is drawn."""
    done: dict[str, str] = {}
    draw = drawing.svg_of

    def svg_of(name: str, title: str, paint: Callable[[Axes], None], *, legend: bool) -> str:
        shown = [cell.cell_contents for cell in paint.__closure__ or ()]
        key = repr((name, title, legend, paint.__qualname__, shown))
        if key not in done:
            done[key] = draw(name, title, paint, legend=legend)
        return done[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (drawing, figures):
            patch.setattr(module, "svg_of", svg_of)
        yield done


@pytest.fixture
def data_dir() -> Path:
    """The real data sets that some tests read; BURNISH_TEST_DATA names the folder."""
    place = os.environ.get("BURNISH_TEST_DATA")
    if not place:
        pytest.skip("BURNISH_TEST_DATA is not set")
    return Path(place)
