"""A run and its connection to a Ray cluster. Small programs play the process that speaks with Ray."""

from __future__ import annotations

import importlib.util
import socket
import sys
import time
from collections.abc import Callable

import pytest
from experiment import small

from burnish.config.executors import RayExecutor
from burnish.errors import BackendError, BurnishError, ConfigError, StageError
from burnish.lab import ray_pool
from burnish.lab.executors import check_reachable, common_executor
from burnish.lab.inputs import resolve
from burnish.lab.pool import About, Assignment, Brief, Report
from burnish.lab.ray_pool import RayTasks, check_ray

PRELUDE = """
import json, sys, time
def tell(about, **more): print(json.dumps({"about": about, **more}), flush=True)
def tasks():
    for line in sys.stdin: yield json.loads(line)["fingerprint"]
"""
READY = "tell('said', message='Ray: 2 nodes, 2 CPU cores, 0 GPUs')\n"
RAY = RayExecutor(kind="ray")
Opened = Callable[[str], RayTasks]


def installed(_: str) -> object:
    return object()


def missing(_: str) -> None:
    return None


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Returns a function that opens a pool of two tasks whose connection is this program."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = small()
    brief = Brief(
        configs=(config,), inputs=(resolve(config, offline_ok=False),), folders=("out",), store="s", stages=()
    )

    def pool(program: str) -> RayTasks:
        monkeypatch.setattr(ray_pool, "COMMAND", (sys.executable, "-c", PRELUDE + program))
        return RayTasks(brief, RAY, 2)

    return pool


def until(pool: RayTasks, count: int) -> list[Report]:
    """Return reports until there are so many."""
    found: list[Report] = []
    end = time.monotonic() + 60
    while len(found) < count:
        found += pool.reports(1.0)
        assert time.monotonic() < end, found
    return found


def test_stages_are_given_as_far_as_there_is_room_and_reported(opened: Opened) -> None:
    pool = opened(READY + "print('noise', file=sys.stderr)\nfor key in tasks(): tell('finished', fingerprint=key)")
    pool.submit(Assignment(config=0, fingerprint="a"))
    assert pool.free()
    pool.submit(Assignment(config=0, fingerprint="b"))
    assert not pool.free()
    said, *ends = until(pool, 3)
    assert said.message == "Ray: 2 nodes, 2 CPU cores, 0 GPUs"
    assert [(one.about, one.fingerprint) for one in ends] == [(About.FINISHED, "a"), (About.FINISHED, "b")]
    assert pool.free()
    pool.close()


def test_a_connection_that_breaks_is_an_error(opened: Opened) -> None:
    pool = opened(READY + "for key in tasks(): sys.exit('the head is gone')")
    pool.submit(Assignment(config=0, fingerprint="a"))
    with pytest.raises(StageError, match=r"connection to the Ray cluster was lost .*exit code 1.*the head is gone"):
        until(pool, 9)
    pool.close()


@pytest.mark.parametrize(
    ("program", "error", "words"),
    [
        (
            "sys.exit('ConnectionError: no instance')",
            ConfigError,
            r"on this machine \(ConnectionError: no instance",
        ),
        ("time.sleep(600)", ConfigError, r"nothing answered as Ray within 1 seconds\); start one"),
        ("tell('failed', message='no kind', error='DataError')", BurnishError, "no kind"),
    ],
)
def test_a_cluster_that_does_not_answer_is_an_error_and_no_hang(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, program: str, error: type[BurnishError], words: str
) -> None:
    monkeypatch.setattr(ray_pool, "CONNECT_SECONDS", 1.0 if "sleep" in program else 60.0)
    with pytest.raises(error, match=words):
        opened(program)


def test_an_address_is_checked_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", installed)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"address: no Ray cluster answers at {address} .Connection refused"):
            check_ray(RayExecutor(kind="ray", address=address))
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ConfigError, match=f"no Ray cluster answers at {address}"):
            check_ray(RAY)
        closed.listen()
        check_ray(RAY)
    for wrong in ("ray://127.0.0.1:1", "host", "host:x"):
        with pytest.raises(ConfigError, match=f"'{wrong}' found; write HOST:PORT"):
            check_ray(RayExecutor(kind="ray", address=wrong))


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (
            "import sys; sys.exit('x\\nConnectionError: no running Ray instance')",
            "on this machine .ConnectionError: no",
        ),
        ("import sys; sys.exit(3)", "Ray ended with exit code 3"),
        ("import time; time.sleep(60)", "nothing answered as Ray within 1 seconds"),
        ("import sys; assert sys.argv[1] == 'auto'", ""),
    ],
)
def test_a_dry_run_connects_to_the_cluster(monkeypatch: pytest.MonkeyPatch, program: str, told: str) -> None:
    """With the address `auto`, only Ray knows whether a cluster runs here."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", installed)
    monkeypatch.setattr(ray_pool, "CONNECT", (sys.executable, "-c", program))
    monkeypatch.setattr(ray_pool, "CONNECT_SECONDS", 1.0 if "sleep" in program else 60.0)
    if told:
        with pytest.raises(ConfigError, match=told):
            check_reachable(RAY)
    else:
        check_reachable(RAY)


def test_without_ray_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(BackendError, match=r"ray is not installed; install it: pip install 'burnish\[train,ray\]'"):
        check_ray(RAY)


def test_experiments_of_one_run_have_one_executor() -> None:
    ray, local = small(name="a", execution={"executor": "ray"}), small(name="b")
    assert common_executor([ray, ray]).kind == "ray"
    with pytest.raises(ConfigError, match=r"execution\.executor: b has local and a has ray"):
        common_executor([ray, local])
