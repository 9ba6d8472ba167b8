"""The number of CPU threads that `execution.threads: auto` stands for."""

from __future__ import annotations

import os

import pytest

from burnish.backends import machine
from burnish.config.lab import Execution
from burnish.config.models import ModelConfig

STUDENT = ModelConfig(source="some/model")


def usable(process: int) -> set[int]:
    """Stand in for the system: whichever process asks, it may use eight cores."""
    return {process + core for core in range(8)}


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process use eight cores of a machine with 64."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", usable, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


def test_auto_divides_the_cores_that_the_process_may_use() -> None:
    assert machine.threads_of(Execution(), STUDENT) == 8
    assert machine.threads_of(Execution(workers=4), STUDENT) == 2
    assert machine.threads_of(Execution(workers=20), STUDENT) == 1


@pytest.mark.parametrize(
    ("allowed", "threads"), [("1", 1), ("4", 4), ("16", 8), ("", 8), ("0", 8), ("4,2", 8), ("many", 8)]
)
def test_the_variable_of_openmp_is_an_upper_bound(monkeypatch: pytest.MonkeyPatch, allowed: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    assert machine.threads_of(Execution(), STUDENT) == threads


def test_a_number_in_the_config_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert machine.threads_of(Execution(threads=3), STUDENT) == 3


def test_builtin_models_take_one_thread() -> None:
    assert machine.threads_of(Execution(), ModelConfig(source="builtin:strong")) == 1


def test_a_system_without_affinity_counts_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert machine.threads_of(Execution(), STUDENT) == 64
