"""Memory that the C library keeps: which processes are started so that it keeps less, and what a plan counts."""

from __future__ import annotations

import pytest

from burnish import backends
from burnish.backends import allocator
from burnish.backends.allocator import NO_CACHES, VARIABLE, filling_holes, keeps_holes
from burnish.config import Execution

pytest.importorskip("torch")


def yes() -> bool:
    return True


def no() -> bool:
    return False


def test_a_worker_is_started_without_caches_unless_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "of_glibc", yes)
    assert filling_holes({}) == {VARIABLE: NO_CACHES}
    assert filling_holes({VARIABLE: ""}) == {}
    monkeypatch.setattr(allocator, "of_glibc", no)
    assert filling_holes({}) == {}


@pytest.mark.parametrize(
    ("set_to", "alone", "kept"),
    [(None, True, True), (None, False, False), (NO_CACHES, True, False), ("glibc.malloc.perturb=1", False, True)],
)
def test_whether_holes_are_kept(monkeypatch: pytest.MonkeyPatch, set_to: str | None, alone: bool, kept: bool) -> None:
    monkeypatch.setattr(allocator, "of_glibc", yes)
    monkeypatch.delenv(VARIABLE, raising=False)
    if set_to is not None:
        monkeypatch.setenv(VARIABLE, set_to)
    assert keeps_holes(alone) is kept
    monkeypatch.setattr(allocator, "of_glibc", no)
    assert not keeps_holes(alone)


def test_processes_that_burnish_does_not_start_keep_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "of_glibc", yes)
    monkeypatch.delenv(VARIABLE, raising=False)
    settings: tuple[dict[str, object], ...] = ({}, {"workers": 2}, {"workers": 2, "executor": "ray"})
    found = [backends.keeps_holes(Execution.model_validate({"device": "cpu", **one})) for one in settings]
    assert found == [True, False, True]
