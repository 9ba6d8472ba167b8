"""The speed benchmarks: both sides do the same work, and ratios are taken within a repeat."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
torch: Any = pytest.importorskip("torch")

import backend  # noqa: E402
import bench_bare  # noqa: E402
import released_way  # noqa: E402
import round_cost  # noqa: E402
from bench_models import as_artifact, backend_of, prepared, prompts_of, rows_of, settings_of, tokens_of  # noqa: E402
from bench_time import Spent, middle, since, timed  # noqa: E402
from round_cost import ALL, ANSWER, COMPARE, HALVES, Sides  # noqa: E402

from burnish.backends.load import load_base  # noqa: E402
from burnish.config import Decoding, ModelConfig  # noqa: E402
from burnish.types import Artifact  # noqa: E402


@pytest.fixture
def model() -> ModelConfig:
    return prepared("builtin:strong", Path())


@pytest.fixture
def base(tmp_path: Path, model: ModelConfig) -> Artifact:
    return as_artifact(model, tmp_path / "base")


def test_medians_and_seconds() -> None:
    assert middle([3.0, 1.0, 2.0004]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert Spent(1.0, 2.0) + Spent(3.0, 5.0) == Spent(4.0, 7.0)
    assert (Spent(1.0, 2.0).of("cpu"), Spent(1.0, 2.0).of("wall")) == (1.0, 2.0)
    result, spent = timed(lambda: sum(i * i for i in range(200_000)))
    assert result == sum(i * i for i in range(200_000))
    assert 0 < spent.cpu <= since(Spent(0.0, 0.0)).cpu
    assert spent.wall > 0


def test_the_ratio_is_that_to_the_best_batch_size_within_each_repeat() -> None:
    runs = {
        "8": [(100, Spent(1.0, 2.0)), (100, Spent(2.0, 2.0))],  # 100 and 50 tokens a CPU second
        "16": [(100, Spent(0.5, 2.0)), (100, Spent(1.0, 2.0))],  # 200 and 100: the best on CPU seconds
        backend.OURS: [(100, Spent(1.0, 1.0)), (100, Spent(1.0, 4.0))],  # 100 and 100
    }
    report = backend.side_by_side(runs)
    assert report["cpu"]["best_bare_batch"] == 16
    assert report["cpu"]["ratio_to_best_bare"] == {"median": 0.75, "min": 0.5, "max": 1.0}
    assert report["cpu"]["bare_tokens_per_second_by_batch"]["8"] == {"median": 75.0, "min": 50.0, "max": 100.0}
    assert report["wall"]["ratio_to_best_bare"] == {"median": 1.25, "min": 0.5, "max": 2.0}


def test_bare_loops_and_backend_take_turns() -> None:
    called: list[str] = []

    def bare(size: int) -> backend.Measured:
        called.append(str(size))
        return 1, Spent(1.0, 1.0)

    def ours() -> backend.Measured:
        called.append("ours")
        return 1, Spent(1.0, 1.0)

    runs = backend.in_turn(bare, [4, 8], ours, repeats=2)
    assert called == ["4", "8", "ours"] * 2
    assert {name: len(measured) for name, measured in runs.items()} == {"4": 2, "8": 2, backend.OURS: 2}


def test_the_bare_loops_do_the_work_of_the_backend(model: ModelConfig, base: Artifact) -> None:
    # Without row 4: two words of its answer have logits that differ by less than 1e-5, so the batch size decides.
    rows, ours = [row for row in rows_of(13) if row.id != "00004"], backend_of()
    made, _ = backend.generation(ours, base, rows, 12)
    assert bench_bare.generation(base, rows, 12, 5)[0] == made > 12
    assert bench_bare.scoring(base, rows, 5)[0] == backend.scoring(ours, base, model, rows)[0] == tokens_of(model, rows)
    settings = settings_of(model, batch_size=4)
    (of_steps, _), (whole, _) = backend.training(base, model, rows, settings)
    # Two of three steps count. The bare loop takes the rows in their order, the backend shuffles them.
    assert (of_steps, whole) == (tokens_of(model, rows) * 2 // 3, tokens_of(model, rows))
    assert bench_bare.training(model, rows, settings, 2)[0] == tokens_of(model, rows[4:])


def test_the_released_way_gives_the_answers_and_scores_of_the_backend(
    tmp_path: Path, model: ModelConfig, base: Artifact
) -> None:
    rows, ours = rows_of(8), backend_of()
    settings, decode = settings_of(model, batch_size=4), Decoding(beams=4, max_new_tokens=10)
    batches = ours.generate(base, prompts_of(rows), decode, round_cost.KEY, set())
    assert released_way.answer(base, prompts_of(rows), decode) == {a.id: a.text for batch in batches for a in batch}
    judge = round_cost.head(ours, base, rows, settings, tmp_path / "head")
    pairs = round_cost.pairs_of(rows, {row.id: "#### 1" for row in rows})
    assert len(pairs) == 8  # half of eight rows, in both orders
    scores = released_way.compare(judge, pairs)
    expected = {score.id: score.value for batch in ours.classify(judge, pairs, set()) for score in batch}
    assert scores == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_released_way_trains_the_model(tmp_path: Path, model: ModelConfig, checkpointing: bool) -> None:
    settings = settings_of(model, batch_size=4).model_copy(update={"gradient_checkpointing": checkpointing})
    released_way.train(model, rows_of(8), settings, tmp_path)
    before = load_base(model, torch.float32, labels=None)
    after = load_base(model.model_copy(update={"source": str(with_tokenizer(tmp_path))}), torch.float32, labels=None)
    moved = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert all(moved)
    assert not (tmp_path / "trainer").exists()


def with_tokenizer(folder: Path) -> Path:
    """Copy the built-in model's tokenizer beside trained weights, so that they are a whole model."""
    for path in (ROOT / "src/burnish/embedded/strong").glob("tokenizer*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_the_round_is_the_sum_of_its_parts() -> None:
    sides = Sides()
    for part, ours, theirs in ((HALVES, 1.0, 2.0), (ANSWER, 1.0, 8.0), (COMPARE, 1.0, 5.0), (ALL, 1.0, 1.0)):
        sides.spent[part] += [(Spent(ours, 1.0), Spent(theirs, 1.0))] * 2
    report = round_cost.ratios(sides, "cpu")
    assert report["round"]["times_cheaper"]["median"] == 4.0
    assert report["round without the last training"]["times_cheaper"]["median"] == 5.0
    assert report[ANSWER] == {
        "backend_seconds": {"median": 1.0, "min": 1.0, "max": 1.0},
        "released_seconds": {"median": 8.0, "min": 8.0, "max": 8.0},
        "times_cheaper": {"median": 8.0, "min": 8.0, "max": 8.0},
    }


@pytest.mark.slow
def test_a_round_in_both_ways_gives_the_same_answers(capsys: pytest.CaptureFixture[str]) -> None:
    options = argparse.Namespace(
        model="builtin:strong",
        judge="builtin:comparer",
        data=None,
        rows=16,
        epochs=1,
        batch_size=8,
        beams=2,
        new_tokens=8,
        repeats=1,
        checkpointing=False,
    )
    report = round_cost.measure(options)
    assert capsys.readouterr().out == ""  # stdout is for the JSON
    (agreement,) = report["agreement"]
    assert agreement["share_of_equal_answers"] == 1.0
    assert agreement["largest_difference_of_a_score"] < 1e-4
    assert all(
        report[clock][part]["times_cheaper"]["median"] > 0 for clock in ("cpu", "wall") for part in round_cost.PARTS
    )


def test_rows_of_a_file(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"question": f"q{i}", "answer": f"#### {i}"}) + "\n" for i in range(9)))
    rows = rows_of(4, data)
    assert [row.id for row in rows] == ["00000", "00001", "00002", "00003"]
    assert all(row.completion == f"#### {row.prompt[0].content[1:]}" for row in rows)
    assert rows == rows_of(4, data)


@pytest.mark.parametrize(
    ("main", "options"),
    [(backend.main, ["--rows", "4", "--batch-size", "4"]), (round_cost.main, ["--rows", "4"])],
    ids=["backend", "round_cost"],
)
def test_too_few_rows_are_refused(
    main: Callable[[], None],
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--model", "builtin:strong", *options])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "--rows must be" in capsys.readouterr().err


@pytest.mark.slow
def test_the_backend_benchmark_runs_as_a_script(tmp_path: Path) -> None:
    out = tmp_path / "backend.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "backend.py"), "--model", "builtin:strong", "--threads", "1"]
    command += [
        "--rows",
        "16",
        "--batch-size",
        "8",
        "--micro",
        "4",
        "--batch",
        "8",
        "--repeats",
        "1",
        "--out",
        str(out),
    ]
    command += ["--profile", str(tmp_path / "profiles")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(out.read_text())
    assert json.loads(done.stdout) == report
    assert (report["threads"], report["repeats"]) == (1, 1)
    for kind in ("training", "generation", "scoring"):
        assert report[kind]["cpu"]["ratio_to_best_bare"]["median"] > 0
        assert "tottime" in (tmp_path / "profiles" / f"{kind}.txt").read_text()
