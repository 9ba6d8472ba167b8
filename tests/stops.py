"""Kills, as far as one process can play them: at every unit of work, or before every manifest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from burnish.store.runners import Executor
from burnish.store.stages import Stage, Work

T = TypeVar("T")
STOP = "stop"


class StopError(Exception):
    """A kill. No code of burnish catches it."""


def until_done(attempt: Callable[[], T]) -> tuple[T, int]:
    """Repeat a call until no StopError ends it. Returns what it returned, and how often it was stopped before."""
    stops = 0
    while True:
        try:
            return attempt(), stops
        except StopError:
            stops += 1


def one_unit_then_stop(done: list[str]) -> Callable[[str], None]:
    """Return what a fake backend calls before each unit of work: it lets one unit pass and stops at the next.

    `done` grows by the unit that passed, or by STOP, in turn.
    """

    def before_unit(unit: str) -> None:
        done.append(STOP if len(done) % 2 else unit)
        if done[-1] == STOP:
            raise StopError

    return before_unit


def stop_once_before_each_manifest(monkeypatch: pytest.MonkeyPatch, tear: bool) -> dict[str, str]:
    """Stop each stage once when its work is done and no manifest says so yet.

    With `tear`, the last line of each of its files is cut as well, as a kill may leave it. Returns a mapping that grows
    to {fingerprint: name} of all stages that were stopped.
    """
    stopped: dict[str, str] = {}
    seal = Executor._seal

    def stop_or_seal(self: Executor, stage: Stage, fingerprint: str, work: Work) -> None:
        if fingerprint in stopped:
            seal(self, stage, fingerprint, work)
            return
        stopped[fingerprint] = stage.name
        for path in work.path.glob("*.jsonl") if tear else ():
            path.write_bytes(path.read_bytes()[:-3])
        raise StopError

    monkeypatch.setattr(Executor, "_seal", stop_or_seal)
    return stopped
