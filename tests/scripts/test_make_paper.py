"""`make paper`: one run after the other in one store, with a log of what each used, and an estimate of what is left."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from experiment import fake, small

from burnish.config import Config
from burnish.config.reading import read_config
from burnish.errors import ConfigError
from burnish.lab.running import run as burnish_run
from burnish.results import Machine, StageTiming, Timings
from burnish.store.files import pretty
from burnish.store.stages import Store

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "tests" / "fixtures" / "results-v1"
sys.path.insert(0, str(ROOT / "scripts"))

from make_paper import LIST, PaperList, Used, files_of, is_finished, left_of, make, measured, note, read_list  # noqa: E402


def written(config: Config, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude={"execution"})))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("b", "a"):
        written(small(name=name), tmp_path / "configs" / f"{name}.yaml")
    return tmp_path


PAPER = PaperList.model_validate({"runs": [{"configs": ["configs/*.yaml"], "out": "out", "publish": "public"}]})


class Recorder:
    """Stands for running a command: keeps its file, and ends with the given codes. A code of 0 leaves results."""

    def __init__(self, *codes: int) -> None:
        self.ran: list[str] = []
        self.codes = list(codes)

    def __call__(self, command: Sequence[str]) -> Used:
        given, out = Path(command[-3]), Path(command[-1])
        self.ran.append(given.name)
        assert command[-4:-2] == [str(given.parents[1] / "store"), str(given)]
        assert out == given.parents[1] / "out" / given.stem
        code = self.codes.pop(0)
        if code == 0:
            shutil.copytree(RESULTS, out, dirs_exist_ok=True)
            (out / "figures").mkdir(exist_ok=True)
        return Used(code=code, cpu_seconds=1800.0, wall_seconds=2000.0)


@pytest.mark.slow
def test_each_file_is_run_in_one_store_and_then_they_are_joined(root: Path) -> None:
    run, log = Recorder(0, 0), root / "cost.json"
    assert make(PAPER, root, root / "store", log, run) == 0
    assert run.ran == ["a.yaml", "b.yaml"]
    found = json.loads(log.read_text())
    assert found["cpu_hours"] == 1.0
    assert [*found["configs"]] == ["configs/a.yaml", "configs/b.yaml"]
    assert (root / "out" / "report.html").is_file()
    counts = json.loads((root / "out" / "suite.json").read_text())
    assert 0 < counts["models_trained"] < counts["models_alone"]
    published = {path.parent.name for path in (root / "public").rglob("results.json")}
    assert published == {"a", "b"}


def test_a_run_that_stops_is_logged_and_goes_on_with_the_same_command(root: Path) -> None:
    log = root / "cost.json"
    alone = PaperList.model_validate({"runs": [{"configs": ["configs/b.yaml"], "out": "out"}]})
    assert make(alone, root, root / "store", log, Recorder(3)) == 3
    assert json.loads(log.read_text())["configs"]["configs/b.yaml"]["finished"] is False
    assert make(alone, root, root / "store", log, Recorder(0)) == 0
    second = json.loads(log.read_text())["configs"]["configs/b.yaml"]
    assert second == {"cpu_seconds": 3600.0, "wall_seconds": 4000.0, "tries": 2, "finished": True}


@pytest.mark.slow
def test_what_is_finished_is_left_as_it_is(root: Path) -> None:
    log, store = root / "cost.json", root / "store"
    (runs,) = PAPER.runs
    one, two = files_of(runs, root)

    def done(file: Path) -> bool:
        return is_finished(file, runs, root, store, log)

    burnish_run(read_config(one), root / "out" / "a", store, backend=fake)
    assert not done(one)  # the log does not have it
    note(log, "configs/a.yaml", Used(code=0, cpu_seconds=1.0, wall_seconds=1.0))
    note(log, "configs/b.yaml", Used(code=0, cpu_seconds=1.0, wall_seconds=1.0))
    assert done(one)
    assert not done(two)  # it has no results
    run = Recorder(0)
    assert make(PAPER, root, store, log, run) == 0
    assert run.ran == ["b.yaml"]
    run = Recorder(3)
    assert make(PAPER, root, store, log, run, again=True) == 3
    assert run.ran == ["a.yaml"]
    note(log, "configs/a.yaml", Used(code=0, cpu_seconds=1.0, wall_seconds=1.0))
    assert done(one)
    written(small(name="a", seeds=[5]), one)  # the config changed, so that its stages are not in the store
    assert not done(one)


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
