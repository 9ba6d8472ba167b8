"""The check for a GPU without network, tried on the CPU: parts of weights, time limits, and what it reports."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GPU = ROOT / "benchmarks" / "gpu"
sys.path[:0] = [str(GPU), str(GPU.parent)]
torch: Any = pytest.importorskip("torch")

import gpu_agreement  # noqa: E402
import gpu_check  # noqa: E402
import gpu_rl  # noqa: E402
import gpu_rounds  # noqa: E402
import gpu_speed  # noqa: E402
from gpu_check import Step  # noqa: E402
from gpu_setup import Setup, prepare  # noqa: E402
from split_weights import PartsError, join, split  # noqa: E402

from burnish.tasks.sums_world import generate  # noqa: E402

STRONG = ROOT / "src" / "burnish" / "embedded" / "strong"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows in the form of GSM8K that the small model can read."""
    folder = tmp_path_factory.mktemp("data")
    rows = [json.dumps({"question": p.question, "answer": p.solution}) for p in generate(300, 3)]
    (folder / "train.jsonl").write_text("\n".join(rows[:200]))
    (folder / "test.jsonl").write_text("\n".join(rows[200:]))
    return folder


@pytest.fixture
def setup(tmp_path: Path, data: Path) -> Setup:
    made = Setup(device=torch.device("cpu"), share=0.1, new_tokens=24, data=data, place=tmp_path / "work")
    report: dict[str, Any] = {}
    prepare(made, STRONG, report)
    assert report == {"parameters": 141_376}
    return made


def test_a_file_comes_back_from_its_parts(tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(bytes(range(256)) * 10)
    parts = split(file, tmp_path / "parts", part_bytes=1000)
    assert [part.stat().st_size for part in parts] == [1000, 1000, 560]
    joined = join(tmp_path / "parts", tmp_path / "there" / "again.gguf")
    assert joined.read_bytes() == file.read_bytes()
    assert [path.name for path in joined.parent.iterdir()] == ["again.gguf"]


def test_wrong_parts_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    file, into = tmp_path / "weights.gguf", tmp_path / "again.gguf"
    with pytest.raises(PartsError, match="is no file"):
        split(file, tmp_path / "parts")
    file.write_bytes(bytes(range(256)) * 10)
    first, second, _ = split(file, tmp_path / "parts", part_bytes=1000)
    second.write_bytes(first.read_bytes())
    with pytest.raises(PartsError, match=r"part02 has another sha256 than parts\.json says; upload it again"):
        join(tmp_path / "parts", into)
    second.unlink()
    with pytest.raises(PartsError, match="part02 is missing; upload it again"):
        join(tmp_path / "parts", into)
    with pytest.raises(PartsError, match=r"parts\.json cannot be read"):
        join(tmp_path, into)
    assert not into.exists()


def test_the_parts_of_the_default_size_stay_under_40_mebibytes(tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    with file.open("wb") as out:
        out.truncate(98 * 10**6)  # the size of SmolLM2-135M in Q4_1; a sparse file
    done = subprocess.run(
        [sys.executable, str(GPU / "split_weights.py"), "split", str(file), str(tmp_path / "parts")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 3
    assert max(path.stat().st_size for path in (tmp_path / "parts").iterdir()) < 40 << 20


def endless(setup: Setup, report: dict[str, Any]) -> None:
    report["found"] = 1
    while True:
        time.sleep(0.01)


def failing(setup: Setup, report: dict[str, Any]) -> None:
    raise ValueError("no such kernel")


def well(setup: Setup, report: dict[str, Any]) -> None:
    report["found"] = {"agrees": True}


def fixed(steps: list[Step]) -> Callable[[Path, dict[str, Any]], list[Step]]:
    def steps_of(_weights: Path, _report: dict[str, Any]) -> list[Step]:
        return steps

    return steps_of


def options_of(tmp_path: Path, data: Path, seconds: int) -> argparse.Namespace:
    given = {"device": "cpu", "share": 0.1, "new_tokens": 24, "weights": STRONG, "data": data}
    return argparse.Namespace(**given, seconds=seconds, out=tmp_path / "out.json")


@pytest.mark.slow
def test_a_step_that_fails_or_takes_too_long_does_not_stop_the_others(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [Step(name=f.__name__, limit=1, run=f) for f in (endless, failing, well)]
    written: list[list[str]] = []
    write = gpu_check.write

    def noting(report: dict[str, Any], out: Path | None) -> None:
        write(report, out)
        assert out is not None
        written.append(list(json.loads(out.read_text())["steps"]))

    monkeypatch.setattr(gpu_check, "write", noting)
    report = gpu_check.check(options_of(tmp_path, data, 60), tmp_path / "work", fixed(steps), 60)
    found = report["steps"]
    assert [step["state"] for step in found.values()] == ["cut off", "failed: ValueError: no such kernel", "done"]
    assert (found["endless"]["found"], found["well"]["found"]) == (1, {"agrees": True})
    assert written == [["endless"], ["endless", "failing"], ["endless", "failing", "well"]]
    assert report["trial"].startswith("on a CPU")


@pytest.mark.slow
def test_no_step_starts_when_the_time_of_the_run_is_over(tmp_path: Path, data: Path) -> None:
    steps = [Step(name="first", limit=60, run=endless), Step(name="second", limit=1, run=well)]
    found = gpu_check.check(options_of(tmp_path, data, 1), tmp_path / "work", fixed(steps), 60)["steps"]
    assert (found["first"]["state"], found["second"]) == ("cut off", {"state": "no time left"})


def test_the_limits_of_all_steps_are_the_time_of_the_run() -> None:
    for script in (gpu_check, gpu_rl):
        assert sum(step.limit for step in script.steps_of(STRONG, {})) == script.SECONDS


@pytest.mark.slow
def test_a_small_share_of_rl_runs_on_a_cpu(setup: Setup) -> None:
    """The parts up to RL on the checker's reward, with a built-in model."""
    small = dataclasses.replace(setup, share=0.04)
    found: dict[str, Any] = {}
    for part in ("policy", "pairs", "reward", "seam-adversarial", "rl-checker"):
        found = {}
        gpu_rl.part_of(part, small, found)
    assert "train_policy" in [stage["stage"] for stage in found["stages"]]
    # SEAM of the few test prompts was measured, and what comes after it was not.
    seam = found["measured"]["seam"]
    assert (seam["adversarial"]["prompts"], seam["weaker"]) == (8, None)
    assert "mismatch_after" not in found["measured"]
    assert str(small.place) not in json.dumps(found["measured"])


def test_one_disagreement_is_found() -> None:
    assert gpu_check.agrees({"a": {"b": {"agrees": True}}, "c": 1})
    assert not gpu_check.agrees({"a": {"b": {"agrees": False}}, "c": {"agrees": True}})


def test_the_cpu_agrees_with_itself_and_differs_in_bfloat16(setup: Setup) -> None:
    found: dict[str, Any] = {}
    gpu_agreement.agreement(setup, found)
    assert found["loss, float32"]["relative_difference"] < 1e-6
    assert found["gradient, float32"]["relative_difference"] < 1e-6
    assert 1e-4 < found["loss, bfloat16"]["relative_difference"] < 0.1
    assert 1e-3 < found["gradient, bfloat16"]["relative_difference"] < 0.1
    gpu_agreement.samples(setup, found)
    assert found["greedy, float32"]["share_of_equal_tokens"] == 1.0
    assert found["sampled at 0.7, float32"]["share_of_equal_answers"] == 1.0


def test_speeds_are_reported(setup: Setup) -> None:
    found: dict[str, Any] = {}
    gpu_speed.training(setup, 141_376, found)
    for name, operations in (("all weights", 6), ("adapter", 4)):
        speed = found[name]["tokens_per_second"]
        assert found[name]["operations_per_second"] == pytest.approx(operations * 141_376 * speed, rel=1e-3)
        assert found[name]["share_of_the_peak"] is None  # the peak of a CPU is not known
    gpu_speed.generation(setup, found)
    assert found["greedy"]["prompts"] == 26
    assert found["greedy"]["tokens"] <= 26 * gpu_speed.NEW_TOKENS
    assert found["scoring"]["rows"] == 102


def test_the_share_of_the_peak_is_taken_of_the_card(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Setup(device=torch.device("cuda"), share=1.0, new_tokens=1, data=setup.data, place=setup.place)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    assert gpu_speed.share_of_peak(card, 98.9e12)["share_of_the_peak"] == 0.1


def test_both_rounds_share_one_experiment(setup: Setup) -> None:
    ilr, dpo = (gpu_rounds.config_of(setup, method) for method in ("ilr", "dpo"))
    assert ilr.model_copy(update={"name": dpo.name, "methods": dpo.methods}) == dpo
    assert (gpu_rounds.weak_layers(setup.model), gpu_rounds.task_of(setup).test) == (2, 50)
    whole = Setup(device=setup.device, share=1.0, new_tokens=160, data=setup.data, place=setup.place)
    assert gpu_rounds.task_of(whole).test == 500


@pytest.mark.slow
def test_everything_runs_as_a_script(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(GPU / "gpu_check.py"), "--device", "cpu", "--share", "0.06", "--new-tokens", "24"]
    command += ["--weights", str(STRONG), "--data", str(data), "--seconds", "2000", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(out.read_text())
    assert json.loads(done.stdout) == report
    assert [step["state"] for step in report["steps"].values()] == ["done"] * 7, report
    assert {"train", "answer", "judge", "refine"} <= {
        stage["stage"] for stage in report["steps"]["ILR round"]["stages"]
    }
    dpo = {stage["stage"] for stage in report["steps"]["DPO round"]["stages"]}
    assert "train_preferences" in dpo
    assert "train_classifier" not in dpo  # shared with the round of ILR


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--share", "0"], "--share 0.0: give more than 0 and at most 1"),
        (["--weights", "nowhere"], "--weights nowhere: does not exist"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_spent(
    data: Path,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["gpu_check.py", "--device", "cpu", "--weights", str(STRONG), "--data", str(data), *options]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit) as stopped:
        gpu_check.main()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
