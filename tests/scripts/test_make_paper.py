"""`make paper`: one run after the other in one store, with a log of what each used, and an estimate of what is left."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from experiment import small

from burnish.config import Config
from burnish.errors import ConfigError
from burnish.results import Machine, StageTiming, Timings
from burnish.store.files import pretty
from burnish.store.stages import Store

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from make_paper import LIST, PaperList, Used, files_of, left_of, make, measured, read_list  # noqa: E402


def written(config: Config, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude={"execution"})))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("b", "a"):
        written(small(name=name), tmp_path / "configs" / f"{name}.yaml")
    return tmp_path


PAPER = PaperList.model_validate({"runs": [{"configs": ["configs/*.yaml"], "out": "out"}]})


class Recorder:
    """Stands for running a command: keeps the commands, and ends with the given codes."""

    def __init__(self, *codes: int) -> None:
        self.commands: list[list[str]] = []
        self.codes = list(codes)

    def __call__(self, command: Sequence[str]) -> Used:
        self.commands.append([*command])
        return Used(code=self.codes.pop(0), cpu_seconds=1800.0, wall_seconds=2000.0)


def test_each_file_is_run_in_one_store_and_then_all_together(root: Path) -> None:
    run, log = Recorder(0, 0, 0), root / "cost.json"
    assert make(PAPER, root, root / "store", log, run) == 0
    assert [command[-3:] for command in run.commands[:2]] == [
        [str(root / "configs" / f"{name}.yaml"), "--out", str(root / "out" / name)] for name in ("a", "b")
    ]
    assert all(command[command.index("--store") + 1] == str(root / "store") for command in run.commands)
    assert run.commands[2][-4:-2] == [str(root / "configs" / "a.yaml"), str(root / "configs" / "b.yaml")]
    found = json.loads(log.read_text())
    assert found["cpu_hours"] == 1.5
    assert [*found["configs"]] == ["configs/a.yaml", "configs/b.yaml", "out (joint report)"]


def test_a_run_that_stops_is_logged_and_goes_on_with_the_same_command(root: Path) -> None:
    log = root / "cost.json"
    assert make(PAPER, root, root / "store", log, Recorder(0, 3)) == 3
    assert json.loads(log.read_text())["configs"]["configs/b.yaml"]["finished"] is False
    assert make(PAPER, root, root / "store", log, Recorder(0, 0, 0)) == 0
    second = json.loads(log.read_text())["configs"]["configs/b.yaml"]
    assert second == {"cpu_seconds": 3600.0, "wall_seconds": 4000.0, "tries": 2, "finished": True}


@pytest.mark.slow
def test_what_a_command_and_its_children_use_is_measured() -> None:
    spin = "import time\nwhile time.process_time() < 0.2: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}]); sys.exit(3)"
    started = time.process_time()
    used = measured([sys.executable, "-c", child])
    assert used.code == 3
    assert used.cpu_seconds >= 0.2  # a child's child counts, too
    assert time.process_time() - started < used.cpu_seconds


def timings(*stages: tuple[str, float, bool]) -> bytes:
    rows = [
        StageTiming(
            name=name, label="", fingerprint="", reused=reused, seconds=seconds, rows=0, tokens=0, comparisons=0
        )
        for name, seconds, reused in stages
    ]
    machine = Machine(platform="", cpu_count=1, device="cpu", threads=1)
    made = Timings(total_seconds=1, peak_memory_bytes=None, machine=machine, versions={}, stages=tuple(rows))
    return pretty(made.model_dump(mode="json"))


def test_the_estimate_counts_each_stage_once_by_the_mean_of_its_kind(tmp_path: Path) -> None:
    like = tmp_path / "like"
    like.mkdir()
    # A reused stage took no time, so it says nothing.
    (like / "timings.json").write_bytes(timings(("train", 10.0, False), ("train", 30.0, False), ("train", 0.0, True)))
    sft = small(methods=[{"kind": "sft"}])
    one, again = left_of([("one", [sft], [like]), ("again", [sft], [like])], Store(tmp_path / "store"))
    assert one.trainings == 3  # the weak supervisor, the judge and the student
    assert one.cpu_hours == pytest.approx(3 * 20 / 3600)
    assert "answer" in one.unknown
    assert "train" not in one.unknown
    assert "without answer" in one.words()
    assert (again.stages, again.trainings, again.cpu_hours, again.unknown) == (0, 0, 0.0, ())


def test_mistakes_in_the_list_are_said(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"'none/\*\.yaml' found no file"):
        files_of(PAPER.runs[0].model_copy(update={"configs": ("none/*.yaml",)}), root)
    (root / "list.yaml").write_text("runs: [{configs: [a], outt: b}]")
    with pytest.raises(ConfigError, match="outt: no such field"):
        read_list(root / "list.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_list(root / "missing.yaml")


def test_the_committed_list_names_files_and_timings_that_exist() -> None:
    for runs in read_list(LIST).runs:
        assert files_of(runs, ROOT)
        assert all((ROOT / folder / "timings.json").is_file() for folder in runs.like)
