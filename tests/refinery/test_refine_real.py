"""`burnish refine` with real models that come with burnish, by the command line: better labels, kills at any time."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from refinement import bytes_of

import burnish
from burnish.tasks.sums_world import generate

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

COUNT = 240
SETTINGS = {
    "train.epochs": 3,
    "train.learning_rate": 1e-3,
    "train.batch_size": 16,
    "train.lora": "null",
    "decode.beams": 1,
    "decode.max_new_tokens": 40,
    "execution.threads": 1,
    "execution.batch_tokens": 2000,
}


def write_data(folder: Path, count: int = COUNT) -> Path:
    """Write problems with solutions, of which two of five end in a wrong number."""
    path = folder / "data.jsonl"
    with path.open("w") as file:
        for number, problem in enumerate(generate(count, 23)):
            head, _, answer = problem.solution.rpartition(" ")
            wrong = str((int(answer) + 1 + number % 7) % 60)
            text = f"{head} {wrong if number % 5 < 2 else answer}"
            row = {"question": problem.question, "answer": text, "gold": problem.solution, "source": f"s{number}"}
            file.write(json.dumps(row) + "\n")
    return path


def command(*more: str) -> list[str]:
    changes = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    start = [sys.executable, "-m", "burnish", "refine", "data.jsonl", "--model", "builtin:strong-long"]
    ways = ["--differs", "number", "--rounds", "2", "--alpha", "0.1", "--out", "out", "--store", "store"]
    return [*start, *ways, *changes, *more]


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*more), cwd=folder, capture_output=True, text=True, check=False)


def right_labels(out: Path) -> int:
    data = [json.loads(line) for line in (out / "refined.jsonl").read_text().splitlines()]
    assert [row["source"] for row in data] == [f"s{number}" for number in range(COUNT)]
    # A student of so few rows does not always end an answer well, so the last number counts and not the last word.
    return sum(re.findall(r"\d+", row["answer"])[-1] == row["gold"].split()[-1] for row in data)


ORACLE = ("--annotator", "oracle:gold")


def test_a_real_model_s_labels_get_better_and_others_can_load_it(tmp_path: Path) -> None:
    write_data(tmp_path)
    done = run(tmp_path, *ORACLE, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    accuracies = [one["label_accuracy"]["value"] for one in summary["rounds"]]
    assert summary["given_accuracy"]["value"] == 0.6
    assert 0.62 < accuracies[0] < accuracies[1]
    assert right_labels(tmp_path / "out") / COUNT == pytest.approx(accuracies[1])
    import transformers

    place = tmp_path / "out" / "model"
    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(place)
    model = library.AutoModelForCausalLM.from_pretrained(place)
    prompt = tokenizer(f"task : {generate(1, 23)[0].question} answer :", return_tensors="pt", add_special_tokens=False)
    text = tokenizer.decode(model.generate(prompt["input_ids"], max_new_tokens=40, do_sample=False)[0])
    assert "####" in text
    assert not (place / "model.json").exists()


def finished(folder: Path) -> int:
    return len(list(folder.glob("store/stages/*/*/manifest.json")))


def killed(folder: Path, options: Sequence[str], pause: float) -> bool:
    """Run until two more stages are finished and a moment has passed, then kill; False if the run ended before."""
    process = subprocess.Popen(command(*options), cwd=folder, stderr=subprocess.DEVNULL)
    before = finished(folder)
    while finished(folder) < before + 2 and process.poll() is None:
        time.sleep(0.05)
    time.sleep(pause)
    alive = process.poll() is None
    process.kill()
    process.wait()
    return alive


def test_killed_at_random_moments_the_folder_is_the_same_bytes(tmp_path: Path) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    for folder in (whole, pieces):
        folder.mkdir()
        write_data(folder, COUNT // 2)
    options, pauses = ("--annotator", "likelihood:builtin:judge-4", "--go-on"), random.Random(5)
    done = run(whole, *options)
    assert done.returncode == 0, done.stderr
    assert [killed(pieces, options, pauses.random() / 2) for _ in range(4)] == [True] * 4
    done = run(pieces, *options)
    assert done.returncode == 0, done.stderr
    assert bytes_of(pieces / "out") == bytes_of(whole / "out")


def test_python_refines_twice_in_one_process(tmp_path: Path) -> None:
    write_data(tmp_path)
    changes = [f"{name}={value}" for name, value in SETTINGS.items()]
    options: dict[str, Any] = {"annotator": "oracle:gold", "rounds": 1, "differs": "number", "changes": changes}
    places: dict[str, Any] = {"out": tmp_path / "out", "store": tmp_path / "store"}
    first, second = (
        burnish.refine(tmp_path / "data.jsonl", model="builtin:strong-long", **places, **options) for _ in "ab"
    )
    assert first.summary == second.summary
    assert first.ledger == second.ledger
    assert right_labels(first.out) > 0.6 * COUNT
