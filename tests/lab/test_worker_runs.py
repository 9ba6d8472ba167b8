"""Runs with workers: results do not depend on how many there are or which of them die."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from experiment import fake, small
from working import DECODE, METHODS, TWO, faked, outputs, ran, run_command

from burnish.errors import StageError
from burnish.lab import local_processes
from burnish.lab.running import run, run_all
from burnish.store.files import tree_checksums
from burnish.store.stages import Store

# --- worker processes on the fake backend


@pytest.mark.slow
def test_results_are_the_same_for_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch)
    settings: dict[str, Any] = {"methods": METHODS, "seeds": [0, 1], "decode": DECODE, "measure": ["kl"]}
    alone = tmp_path / "alone"
    run(small(**settings), alone / "out", alone / "store", backend=fake)
    for count in (2, 4):
        where = tmp_path / str(count)
        out = ran(small(**settings, execution={"workers": count}), where)
        for name in ("results.json", "changes.jsonl", "confidence.jsonl"):
            assert (out / name).read_bytes() == (alone / "out" / name).read_bytes()
        assert outputs(where / "store") == outputs(alone / "store")
        timings = json.loads((out / "timings.json").read_bytes())
        assert not any(stage["reused"] for stage in timings["stages"])
        # Again: everything is reused, and no worker is started.
        monkeypatch.setattr(local_processes, "COMMAND", ("false",))
        ran(small(**settings, execution={"workers": count}), where)
        timings = json.loads((out / "timings.json").read_bytes())
        assert all(stage["reused"] for stage in timings["stages"])
        faked(monkeypatch)


@pytest.mark.slow
def test_each_stage_is_said_once_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch)
    config = small(methods=[{"kind": "sft"}], seeds=[0, 1], execution=TWO, decode=DECODE)
    ran(config, tmp_path)
    found = capsys.readouterr()
    said = found.err.splitlines()
    assert said[0] == "2 workers"
    total = len(list((tmp_path / "store" / "stages").glob("*/*")))
    for end in ("started", "finished in 0.0 s"):
        numbers = [line.split("]")[0] for line in said if line.endswith(f": {end}")]
        if end == "started":
            assert sorted(numbers) == sorted(f"[{number}/{total}" for number in range(1, total + 1))
    assert found.out == ""


@pytest.mark.slow
def test_a_damaged_stage_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch)
    config = small(methods=METHODS, execution=TWO, decode=DECODE)
    out = ran(config, tmp_path)
    before, results = outputs(tmp_path / "store"), (out / "results.json").read_bytes()
    damaged = next((tmp_path / "store" / "stages" / "answer").glob("*/*.jsonl"))
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"damaged}\n")
    capsys.readouterr()
    ran(config, tmp_path)
    assert (
        f"answer {damaged.parent.name[:8]}: a file is damaged or missing; computing it again" in capsys.readouterr().err
    )
    assert outputs(tmp_path / "store") == before
    assert (out / "results.json").read_bytes() == results
    timings = json.loads((out / "timings.json").read_bytes())
    assert [stage["fingerprint"][:32] for stage in timings["stages"] if not stage["reused"]] == [damaged.parent.name]


@pytest.mark.slow
def test_finished_stages_are_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two experiments that share nearly everything, and with workers."""
    faked(monkeypatch)
    configs = [small(name=name, methods=METHODS, execution=TWO, decode=DECODE) for name in ("one", "two")]
    places = [tmp_path / config.name for config in configs]
    list(run_all(configs, places, tmp_path / "store"))
    checked: list[str] = []
    damage = Store.damage

    def counted(self: Store, done: Any) -> Any:
        checked.append(done.fingerprint)
        return damage(self, done)

    monkeypatch.setattr(Store, "damage", counted)
    list(run_all(configs, places, tmp_path / "store"))
    assert len(checked) == len(set(checked)) == len(list((tmp_path / "store" / "stages").glob("*/*")))
    checked.clear()
    # The same holds in one process.
    alone = [small(name=name, methods=METHODS, decode=DECODE) for name in ("one", "two")]
    list(run_all(alone, places, tmp_path / "store"))
    assert len(checked) == len(set(checked)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("words", ["weak supervisor", "answers for test", "grades"])
def test_a_killed_worker_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    settings: dict[str, Any] = {"methods": METHODS, "seeds": [0, 1], "decode": DECODE}
    run(small(**settings), tmp_path / "alone", tmp_path / "alone-store", backend=fake)
    faked(monkeypatch, f"die:2:{words}:{tmp_path / 'deaths'}")
    out = ran(small(**settings, execution=TWO), tmp_path)
    assert (tmp_path / "deaths").stat().st_size == 2
    assert (out / "results.json").read_bytes() == (tmp_path / "alone" / "results.json").read_bytes()
    said = [line for line in capsys.readouterr().err.splitlines() if "killed by signal 9 (SIGKILL)" in line]
    assert len(said) == 2
    assert all(words in line and line.endswith("it is tried again") for line in said)


@pytest.mark.slow
def test_a_worker_that_always_dies_is_an_error_that_names_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch, f"die:99:weak supervisor:{tmp_path / 'deaths'}")
    assert run_command(small(execution=TWO, decode=DECODE), tmp_path, monkeypatch) == 2
    said = capsys.readouterr().err
    assert (tmp_path / "deaths").stat().st_size == 3
    assert said.splitlines()[-1] == (
        "error: seed 0 weak supervisor: its worker was killed by signal 9 (SIGKILL); it may have run out of memory: "
        "lower execution.batch_tokens, execution.micro_batch or execution.workers. It was tried 3 times; finished work "
        "is kept"
    )
    assert "Traceback" not in said
    # What does not need it is finished and kept.
    assert list((tmp_path / "store" / "stages" / "gold").glob("*"))


@pytest.mark.slow
def test_a_fault_is_shown_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch, "fault:weak supervisor")
    with pytest.raises(StageError, match="ZeroDivisionError: no luck; burnish or a library has a fault"):
        ran(small(execution=TWO, decode=DECODE), tmp_path)
    said = capsys.readouterr().err
    assert said.count("Traceback (most recent call last)") == 1
    # If another stage was still running, one more line says what the run waits for.
    assert said.count("ZeroDivisionError: no luck") == 1 + said.count("the run ends when")


# --- real workers


@pytest.mark.slow
def test_two_workers_compute_what_one_process_computes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    from burnish.lab.running import run_all

    changes: dict[str, Any] = {
        "task": {"kind": "sums", "train": 80, "test": 10},
        "train": {"lora": None, "epochs": 8, "learning_rate": 2e-3, "batch_size": 8},
        "decode": {"beams": 1, "max_new_tokens": 24},
        "supervision": {"annotator": {"kind": "oracle"}},
        "measure": ["kl"],
        "seeds": [0, 1],
    }
    dpo = {"kind": "dpo", "rounds": 1, "learning_rate": 1e-5}
    configs = [
        small(name="one", methods=[{"kind": "sft"}, dpo], **changes),
        small(name="two", methods=[{"kind": "ilr", "rounds": 1}, dpo], **changes),
    ]
    for name, count in (("alone", 1), ("together", 2)):
        counted = [
            config.model_copy(update={"execution": config.execution.model_copy(update={"workers": count})})
            for config in configs
        ]
        places = [tmp_path / name / config.name for config in configs]
        assert len(list(run_all(counted, places, tmp_path / f"store-{name}"))) == 2
        said = capfd.readouterr()
        # Each stage of both experiments starts once, whoever computes it.
        started = [line.split("]")[0] for line in said.err.splitlines() if line.endswith(": started")]
        numbered = [start for start in started if start.startswith("[")]
        total = len(list((tmp_path / f"store-{name}" / "stages").glob("*/*")))
        assert sorted(numbered) == sorted(f"[{number}/{total}" for number in range(1, total + 1))
        assert said.out == ""
    for config in configs:
        alone, together = (tmp_path / name / config.name / "results.json" for name in ("alone", "together"))
        assert alone.read_bytes() == together.read_bytes()
    stages = [
        {
            name: sum_
            for name, sum_ in tree_checksums(tmp_path / f"store-{place}" / "stages").items()
            if "manifest" not in name
        }
        for place in ("alone", "together")
    ]
    assert stages[0] == stages[1]
