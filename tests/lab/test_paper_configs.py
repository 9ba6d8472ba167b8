"""The paper's other two settings are planned with made-up data in the published layouts, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sql_data import people, rows_of

from burnish.config import (
    ClassifierConfig,
    Config,
    EmbeddingServerDiffers,
    InstructionsTask,
    ReferenceJudgeConfig,
    TextToSqlTask,
)
from burnish.config.reading import read_config

CONFIGS = Path(__file__).parents[2] / "configs"


def bird(folder: Path) -> dict[str, str]:
    """Write BIRD's layout: train.json and dev.json with one database each."""
    for name, split in (("train", "train"), ("dev_20240627", "dev")):
        database = folder / name / f"{split}_databases" / "people" / "people.sqlite"
        database.parent.mkdir(parents=True)
        people(database)
        rows = [
            {"question": f"{split} {row['question']}", "evidence": "", "SQL": row["sql"], "db_id": "people"}
            for row in rows_of(database, 40)
        ]
        (folder / name / f"{split}.json").write_text(json.dumps(rows))
    return {"BIRD": str(folder)}


def saferpaca(folder: Path) -> dict[str, str]:
    """Write the four sources' layouts."""
    tuned = folder / "safety-tuned-llamas" / "data"
    for part in ("training", "evaluation"):
        (tuned / part).mkdir(parents=True)
    safety = [{"instruction": f"Unsafe {n}", "output": "I cannot help.", "input": ""} for n in range(500)]
    (tuned / "training" / "safety_only_data_Instructions.json").write_text(json.dumps(safety))
    for name in ("MaliciousInstructions", "CoNa"):
        requests = {"instructions": [f"{name} {n}" for n in range(5)]}
        (tuned / "evaluation" / f"I-{name}.json").write_text(json.dumps(requests))
    general = [{"instruction": f"Do {n}", "input": "", "output": f"Done {n}"} for n in range(9500)]
    (folder / "alpaca_gpt4_data.json").write_text(json.dumps(general))
    held_out = [{"instruction": f"Held out {n}", "output": "Done", "generator": "x", "dataset": "y"} for n in range(5)]
    (folder / "alpaca_eval.json").write_text(json.dumps(held_out))
    return {
        "ALPACA_GPT4": str(folder / "alpaca_gpt4_data.json"),
        "ALPACA_EVAL": str(folder / "alpaca_eval.json"),
        "SAFETY_TUNED": str(folder / "safety-tuned-llamas"),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "brought", "models"),
    [
        ("bird-gemma2b-llama70b", bird, {"google/gemma-2b", "meta-llama/Meta-Llama-3-70B"}),
        ("saferpaca-gemma2b-mistral7b", saferpaca, {"google/gemma-2b", "mistralai/Mistral-7B-v0.1"}),
    ],
)
def test_the_papers_settings_are_planned_offline(name: str, brought: Any, models: set[str], tmp_path: Path):
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    environment |= {"HF_HUB_OFFLINE": "1", **brought(tmp_path)}
    command = [sys.executable, "-m", "burnish", "run", str(CONFIGS / f"{name}.yaml"), "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    unresolved = {line.split()[1].partition("@")[0] for line in done.stdout.splitlines() if "unresolved" in line}
    assert unresolved == models
    assert "0 done" in done.stdout
    # 15 prompts in both orders; three seeds of the weak model, SFT, the ceiling, and four rounds of three methods.
    calls = f"judge: at most {15 * 2 * 3 * 15:,} calls"
    assert (calls in done.stdout) == (name == "saferpaca-gemma2b-mistral7b"), done.stdout[-300:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variable"), [("bird-gemma2b-llama70b", "BIRD"), ("saferpaca-gemma2b-mistral7b", "ALPACA_GPT4")]
)
def test_data_that_nobody_brought_are_named(name: str, variable: str, tmp_path: Path):
    environment = {key: value for key, value in os.environ.items() if key != variable} | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "burnish", "run", str(CONFIGS / f"{name}.yaml"), "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert f"the environment variable {variable}, which is not set" in done.stderr
    assert "Traceback" not in done.stderr


def configured(name: str) -> Config:
    return read_config(CONFIGS / f"{name}.yaml")


def test_bird_is_the_papers():
    """Appendix A.1, table 1 and appendix C."""
    config = configured("bird-gemma2b-llama70b")
    assert isinstance(config.task, TextToSqlTask)
    assert (config.task.max_prompt_tokens, config.task.equality, config.task.evidence) == (1024, "set", True)
    assert (config.train.epochs, config.train.batch_size, config.train.optimizer) == (2, 32, "adafactor")
    assert (config.decode.beams, config.decode.max_new_tokens) == (4, 256)


def test_saferpaca_is_the_papers():
    """Appendix A, table 1, appendices B and C."""
    config = configured("saferpaca-gemma2b-mistral7b")
    assert isinstance(config.task, InstructionsTask)
    assert (config.task.train_general, config.task.train_safety) == (9500, 500)
    assert config.task.refusal == "Sorry, I cannot help with that."
    assert (config.train.epochs, config.train.batch_size, config.decode.max_new_tokens) == (4, 32, 512)
    assert isinstance(config.supervision.annotator, ClassifierConfig)
    assert (config.supervision.annotator.pairs, config.supervision.annotator.checkpoints) == ("balanced", 10)
    assert isinstance(config.differs, EmbeddingServerDiffers)
    assert config.differs.share == 0.5
    assert isinstance(config.judge, ReferenceJudgeConfig)
    assert (config.judge.explain, config.judge.tie, config.judge.model) == (True, None, "gpt-4o")
