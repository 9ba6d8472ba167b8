"""`burnish seam augment`: pairs and prompts of the prompts with the highest scores."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from refused import check_refused

from burnish.cli import main
from burnish.rewards.pairs import read_pairs


def answer(text: str, reward: float, logprob: float = -2.0) -> dict[str, Any]:
    return {"reward": reward, "logprob": logprob, "tokens": 2, "text": text}


def table(where: Path, prompt: Any = "question", **changes: Any) -> Path:
    """Write a table of five prompts; of row n, n of four worse answers are rewarded over the gold answer."""
    rows: list[dict[str, Any]] = []
    for n in range(5):
        worse = [answer(f"worse {n} {place}", 2.0 if place < n else 0.0, -1.0 - place) for place in range(4)]
        rows.append(
            {"id": f"r{n}", "prompt": prompt, "source": "own", "gold": answer(f"gold {n}", 1.0), "worse": worse}
        )
    rows.append({"id": "none", "prompt": prompt, "source": "own", "gold": answer("gold", 1.0), "worse": []})
    path = where / "table.jsonl"
    path.write_text("".join(json.dumps({**row, **changes}) + "\n" for row in rows))
    return path


def augment(path: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["seam", "augment", str(path), "--out", str(out), *options])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pairs_of_the_highest_scores(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = augment(table(tmp_path), out, "--share", "0.4", "--most", "2")
    assert done.exit_code == 0
    pairs = lines(out / "pairs.jsonl")
    # The most likely of the misjudged answers come first.
    assert [(pair["chosen"], pair["rejected"]) for pair in pairs] == [
        ("gold 3", "worse 3 0"),
        ("gold 3", "worse 3 1"),
        ("gold 4", "worse 4 0"),
        ("gold 4", "worse 4 1"),
    ]
    assert pairs[0] == {
        "id": "r3",
        "prompt": "question",
        "chosen": "gold 3",
        "rejected": "worse 3 0",
        "source": "own",
        "margin": 1.0,
    }
    expected = [{"id": f"r{n}", "prompt": "question", "source": "own", "reference": f"gold {n}"} for n in (3, 4)]
    assert lines(out / "prompts.jsonl") == expected
    ledger = lines(out / "ledger.jsonl")
    assert Counter(line["reason"] for line in ledger) == {"taken": 2, "score": 3, "undefined": 1}
    assert [(line["id"], line["rank"], line["pairs"]) for line in ledger if line["taken"]] == [
        ("r3", 2, 2),
        ("r4", 1, 2),
    ]
    assert "6 prompts: 2 taken, 4 pairs for them" in done.stdout
    assert "1 prompt without a worse answer not taken" in done.stdout
    found = read_pairs(out / "pairs.jsonl")
    assert [(pair.chosen, pair.source) for pair in found.pairs] == [(pair["chosen"], "own") for pair in pairs]


def test_controls_and_all_worse_answers(tmp_path: Path) -> None:
    path = table(tmp_path)
    done = augment(path, tmp_path / "lowest", "--share", "0.2", "--order", "lowest", "--json")
    assert json.loads(done.stdout) == {"rows": {"no_pair": 1, "score": 4, "undefined": 1}, "pairs": 0}
    augment(path, tmp_path / "all", "--share", "0.2", "--order", "lowest", "--all-worse")
    assert [pair["rejected"] for pair in lines(tmp_path / "all" / "pairs.jsonl")] == [f"worse 0 {n}" for n in range(4)]
    drawn: set[str] = set()
    for seed in range(6):
        augment(path, tmp_path / f"random {seed}", "--share", "0.2", "--order", "random", "--seed", str(seed))
        (row,) = lines(tmp_path / f"random {seed}" / "prompts.jsonl")
        drawn.add(row["id"])
    assert len(drawn) > 1


def test_conversations_stay_conversations(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    augment(table(tmp_path, turns), tmp_path / "out", "--share", "0.2")
    first = lines(tmp_path / "out" / "pairs.jsonl")[0]
    assert (first["prompt"], first["chosen"]) == (turns, [{"role": "assistant", "content": "gold 4"}])
    assert len(read_pairs(tmp_path / "out" / "pairs.jsonl").pairs[0].prompt) == 2


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, ["--share", "0"], ["--share: 0.0"]),
        ({}, ["--share", "1.5"], ["--share: 1.5"]),
        (
            {"gold": {"reward": 1, "logprob": -1, "tokens": 1}},
            ["--share", "1"],
            ["table.jsonl:1: gold.text", "missing"],
        ),
        ({"worse": [{"reward": 2, "logprob": -1, "tokens": 1}]}, ["--share", "1"], ["worse[0].text"]),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, changes: dict[str, Any], options: list[str], words: list[str]
) -> None:
    check_refused(augment(table(tmp_path, **changes), tmp_path / "out", *options), *words)
    assert not (tmp_path / "out").exists()


def test_a_table_without_prompts_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text().replace('"prompt"', '"asked"'))
    check_refused(augment(path, tmp_path / "out", "--share", "0.2"), "no column 'prompt'")
