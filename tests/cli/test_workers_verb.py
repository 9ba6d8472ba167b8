"""`burnish workers`: what runs where, in a store and in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from refused import check_refused

from burnish.cli import main
from burnish.store.attempts import LOCKS, Doing, Life
from burnish.store.stages import Stage, Store
from burnish.store.under_way import under_way

OURS, OTHER = ("answer-" + "a" * 32, "train-" + "b" * 32)


def shown(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, ["workers", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose run `out` has three stages. One of them is finished."""
    made = Store(tmp_path / "store")
    (tmp_path / "out").mkdir()
    stage = Stage(name="data", version=1, config={}, inputs={}, run=print)
    made.place("data", stage.fingerprint).mkdir(parents=True)
    (made.place("data", stage.fingerprint) / "manifest.json").write_text("{}")
    made.refer(tmp_path / "out", [stage.fingerprint, "a" * 64, "c" * 64])
    return made


def test_what_runs_in_a_store(store: Store) -> None:
    assert shown(store.root) == "no stage is being computed\n"
    with (
        store.attempting(OURS, Doing(label="seed 0 [bold]answers", progress=lambda: (1200, 4000))),
        store.attempting(OTHER),
    ):
        header, first, second = shown(store.root).splitlines()
        assert header.split() == ["stage", "host", "state", "process", "runs", "for", "heartbeat", "progress"]
        assert first.startswith("seed 0 [bold]answers")
        assert first.rstrip().endswith("1,200 of 4,000")
        assert second.startswith("train bbbbbbbb")
        assert " alive " in second
        found = json.loads(shown(store.root, "--json"))
    assert [one["stage"] for one in found["attempts"]] == ["answer", "train"]
    assert (found["attempts"][0]["done"], found["attempts"][0]["life"], found["stages"]) == (1200, "alive", None)


def test_what_runs_for_one_run(store: Store, tmp_path: Path) -> None:
    with store.attempting(OURS, Doing(label="ours")), store.attempting(OTHER, Doing(label="other")):
        text = shown(tmp_path / "out", "--store", store.root)
        found = json.loads(shown(tmp_path / "out", "--store", store.root, "--json"))
    assert text.startswith("1 of 3 planned stages are finished\n")
    assert "ours" in text
    assert "other" not in text
    assert [one["label"] for one in found["attempts"]] == ["ours"]
    assert (found["finished"], found["stages"]) == (1, 3)


def test_a_note_that_a_killed_process_left_is_shown_until_its_stage_is_finished(store: Store) -> None:
    note = store.root / "locks" / f"{OURS}.node.7.0123abcd.json"
    note.parent.mkdir(exist_ok=True)
    note.write_bytes(b"{}")
    os.utime(note, (1, 1))
    assert " silent " in shown(store.root)
    store.place("answer", "a" * 64).mkdir(parents=True)
    (store.place("answer", "a" * 64) / "manifest.json").write_text("{}")
    assert shown(store.root) == "no stage is being computed\n"


def test_a_folder_that_is_neither_is_refused(store: Store, tmp_path: Path) -> None:
    arguments = ["workers", str(tmp_path / "gone"), "--store", str(store.root)]
    check_refused(CliRunner().invoke(main, arguments), "no such folder; give a results folder or a store")
    (tmp_path / "empty").mkdir()
    arguments = ["workers", str(tmp_path / "empty"), "--store", str(store.root)]
    check_refused(CliRunner().invoke(main, arguments), "has no run with this results folder; give its --store")


def test_a_working_directory_with_results_folders_is_no_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / "here" / "runs" / "mine").mkdir(parents=True)
    result = CliRunner().invoke(main, ["workers", str(tmp_path / "here"), "--store", str(store.root)])
    check_refused(result, "has no run with this results folder")


def test_of_two_hosts_with_the_same_results_folder_this_one_counts(store: Store, tmp_path: Path) -> None:
    (mine,) = (store.root / "runs").glob("*.json")
    record = json.loads(mine.read_text())
    (store.root / "runs" / "0.json").write_text(json.dumps(record | {"host": "elsewhere", "stages": ["d" * 64]}))
    assert shown(tmp_path / "out", "--store", store.root).startswith("1 of 3 planned stages are finished")


def test_a_url_that_is_no_bucket_is_named_as_such() -> None:
    check_refused(CliRunner().invoke(main, ["workers", "ftp://x"]), "store: ftp:// is no bucket that burnish knows")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_is_dead_and_not_yet_collected_is_ended(store: Store) -> None:
    """In a container, nobody may collect the children of a run that was killed."""
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # its end
    with store.attempting(OURS):
        (note,) = (store.root / LOCKS).glob("*.json")
        about = json.loads(note.read_bytes()) | {"process": child.pid}
        deadline = time.monotonic() + 60
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
        assert under_way(OURS, about, 0.0).life is Life.ENDED
        assert under_way(OURS, about | {"process": os.getpid()}, 0.0).life is Life.ALIVE
    child.wait()
    assert under_way(OURS, about, 0.0).life is Life.ENDED
