"""`refine --pairs FILE`: written at the end and at a pause, checked before anything is spent."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from forms_data import WRITERS, rows_in
from refinement import COUNT, Refined, fake, refine, rows, settings, written
from servers import FaultServer
from test_refine_judge import judge, knows

import burnish
from burnish.cli import main
from burnish.errors import ConfigError, Paused
from burnish.inputs import context
from burnish.refinery import RunOptions
from burnish.refinery.dry_run import dry_run
from burnish.services import endpoint
from burnish.services.calls import CallBudget
from burnish.types import Reason

PREFERRED = {Reason.ACCEPTED: "proposal", Reason.OVER_CAP: "proposal", Reason.REJECTED: "label"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "opener_of", lambda *_: fake)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def call(where: Path, *arguments: str) -> Result:
    quick = (
        "--set=decode.beams=1",
        "--set=decode.max_new_tokens=40",
        "--set=train.lora=null",
        "--alpha=0.1",
        "--differs=number",
    )
    places = ("--out", str(where / "out"), "--store", str(where / "store"), "--annotator", "oracle:gold")
    return CliRunner().invoke(
        main, ["refine", str(written(where)), "--model", "builtin:strong", *places, *quick, *arguments]
    )


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_pairs_are_the_clear_verdicts_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    result = call(tmp_path, "--pairs", str(path))
    assert result.exit_code == 0, result.output
    found = Refined(tmp_path / "out", tmp_path / "store")
    clear = [line for line in found.ledger if line.reason in PREFERRED]
    pairs = read(path)
    assert [(pair["id"], pair["round"], pair["preferred"]) for pair in pairs] == [
        (line.example_id, line.round, PREFERRED[line.reason]) for line in clear
    ]
    assert len(pairs) >= 12  # two rounds filled a cap of six
    questions = {row["id"]: (row["question"], f"#### {row['gold']}") for row in rows()}
    assert {(pair["prompt"], pair["chosen"]) for pair in pairs} <= set(
        questions.values()
    )  # an oracle prefers right ones
    assert all(pair["chosen"] != pair["rejected"] for pair in pairs)
    ties = sum(line.reason is Reason.TIE for line in found.ledger)
    line = f"pairs: {path}: {len(pairs)} preference pairs; left out: {ties} ties, 0 abstentions"
    assert line in result.stderr
    assert f"pairs: {path}" in result.stdout.splitlines()


@pytest.mark.slow
def test_in_python_and_in_the_folder_of_the_results(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options: dict[str, Any] = {
        "changes": ("decode.beams=1", "decode.max_new_tokens=40", "train.lora=null"),
        "rounds": 1,
        "differs": "number",
    }
    for _ in range(2):  # the second call finds the file of the first one
        burnish.refine(
            rows("messages"),
            model="builtin:strong",
            annotator="oracle:gold",
            out=out,
            store=tmp_path / "store",
            pairs=out / "pairs.jsonl",
            **options,
        )
        first = read(out / "pairs.jsonl")[0]
        assert [turn["role"] for turn in first["prompt"]] == ["user"]
        assert [turn["role"] for turn in first["chosen"]] == ["assistant"]


@pytest.mark.slow
def test_a_pause_leaves_the_pairs_of_the_finished_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pairs.jsonl"
    with FaultServer(rule=knows) as running:
        alone = tmp_path / "alone"
        refine(settings(written(alone), **judge(running.address), rounds=1), alone)
        of_one_round = running.answered.total()
        config = settings(written(tmp_path), **judge(running.address), rounds=2)
        with pytest.raises(Paused):
            refine(config, tmp_path, budget=CallBudget(max_calls=4), pairs=path)
        assert path.read_text() == ""
        assert f"pairs: {path}: 0 preference pairs" in capsys.readouterr().err
        with pytest.raises(Paused):
            refine(config, tmp_path, budget=CallBudget(max_calls=of_one_round + 2), pairs=path)
        after_one = read(path)
        refine(config, tmp_path, pairs=path)
    assert {pair["round"] for pair in after_one} == {1}
    assert [pair for pair in read(path) if pair["round"] == 1] == after_one
    assert {pair["round"] for pair in read(path)} == {1, 2}


# --- refused before anything is spent


def _link(folder: Path, to: Path, name: str) -> Path:
    (folder / name).symlink_to(to)
    return folder / name


def _hard_link(folder: Path) -> Path:
    os.link(folder / "data.jsonl", folder / "same.jsonl")
    return folder / "same.jsonl"


def _folder(folder: Path) -> Path:
    (folder / "pairs.jsonl").mkdir()
    return folder / "pairs.jsonl"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.jsonl")
    return folder / "pipe.jsonl"


REFUSED: list[tuple[Callable[[Path], Path], str]] = [
    (lambda folder: folder / "pairs.csv", "a file whose name ends in .jsonl or .parquet"),
    (lambda folder: folder / "pairs", "a file whose name ends in .jsonl or .parquet"),
    (lambda folder: folder / "nowhere" / "pairs.jsonl", "there is no folder"),
    (lambda folder: folder / "data.jsonl" / "pairs.jsonl", "there is no folder"),
    (lambda folder: folder / "data.jsonl", "is the dataset itself, which would be overwritten"),
    (lambda folder: _link(folder, folder / "data.jsonl", "link.jsonl"), "is the dataset itself"),
    (_hard_link, "is the dataset itself"),
    (lambda folder: _link(folder, folder / "gone.jsonl", "link.jsonl"), "is a link to a file that does not exist"),
    (lambda folder: folder / f"{'a' * 239}.jsonl", "the name has 245 bytes; give one of at most 230"),
    (lambda folder: folder / f"{'é' * 115}.jsonl", "the name has 236 bytes"),
    (lambda folder: folder / f"{'a' * 5000}.jsonl", "the name has 5006 bytes"),
    (lambda folder: folder / "a\0b.jsonl", "is no name of a file"),
    (lambda folder: folder / "\ud800.jsonl", "is no name of a file"),
    (_folder, "is no ordinary file"),
    (_pipe, "is no ordinary file"),
    (lambda folder: folder / "out" / "ledger.jsonl", "is a place that the refinement itself writes"),
    (lambda folder: folder / "out" / "refined.jsonl", "is a place that the refinement itself writes"),
    (lambda folder: folder / "out" / "refined.parquet", "is a place that the refinement itself writes"),
    (lambda folder: folder / "out" / "annotations.jsonl", "is a place that the refinement itself writes"),
    (lambda folder: folder / "out" / "model" / "pairs.jsonl", "there is no folder"),
]


@pytest.mark.parametrize(("place", "words"), REFUSED)
def test_a_place_that_will_not_do_is_refused_first(place: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    config = settings(written(tmp_path))
    before = (tmp_path / "data.jsonl").read_bytes()
    path, units = place(tmp_path), list[str]()
    with pytest.raises(ConfigError, match=r"^--pairs: ") as stop:
        refine(config, tmp_path, fake(units.append), pairs=path)
    assert words in str(stop.value)
    with pytest.raises(ConfigError, match=r"^--pairs: "):
        dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store", pairs=path))
    assert units == []
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "data.jsonl").read_bytes() == before


PAIR = {
    "id": "a",
    "prompt": "p",
    "chosen": "c",
    "rejected": "r",
    "round": 1,
    "preferred": "label",
    "confidence": 0.5,
    "reason": "rejected",
}
OTHER: list[tuple[str, bytes]] = [
    ("notes.jsonl", b'{"id": "a", "prompt": "p"}\n'),
    ("notes.jsonl", b'["id", "prompt"]\n'),
    ("notes.jsonl", b"not JSON\n"),
    ("notes.jsonl", b"\n" + json.dumps(PAIR).encode()),
    ("notes.jsonl", json.dumps({**PAIR, "note": "mine"}).encode()),
    ("notes.parquet", b"no Parquet"),
    ("notes.parquet", WRITERS[".parquet"]([{"id": "a", "prompt": "p"}])),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content"), OTHER)
def test_a_file_that_holds_anything_else_is_replaced_only_with_overwrite(
    name: str, content: bytes, tmp_path: Path
) -> None:
    path, config, units = tmp_path / name, settings(written(tmp_path), rounds=1), list[str]()
    path.write_bytes(content)
    words = r"^--pairs: .* exists and is no file of pairs that burnish wrote; name another file, or .* --overwrite"
    with pytest.raises(ConfigError, match=words):
        refine(config, tmp_path, fake(units.append), pairs=path)
    options = RunOptions(out=tmp_path / "out", store=tmp_path / "store", pairs=path)
    with pytest.raises(ConfigError, match=words):
        dry_run(config, options)
    assert units == []
    assert path.read_bytes() == content
    dry_run(config, dataclasses.replace(options, overwrite=True))
    refine(config, tmp_path, pairs=path, overwrite=True)
    assert set(rows_in(path)[0]) == set(PAIR)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.jsonl", b""),
        ("pairs.parquet", b""),
        ("pairs.jsonl", json.dumps(PAIR).encode()),
        ("pairs.parquet", WRITERS[".parquet"]([PAIR])),
    ],
)
def test_a_file_of_pairs_and_an_empty_file_are_replaced(name: str, content: bytes, tmp_path: Path) -> None:
    path, config = tmp_path / name, settings(written(tmp_path), rounds=1)
    path.write_bytes(content)
    for _ in range(2):  # the second run finds the pairs of the first one
        refine(config, tmp_path, pairs=path)
        ids = [row["id"] for row in rows_in(path)]
        assert len(ids) >= 6
        assert "a" not in ids


def test_a_method_that_compares_nothing_has_no_pairs(tmp_path: Path) -> None:
    result = call(tmp_path, "--method", "naive", "--pairs", str(tmp_path / "pairs.jsonl"))
    assert result.exit_code == 2
    assert "the method naive compares nothing, so it makes no pairs" in result.stderr


def test_the_votes_of_samples_are_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    config = settings(written(tmp_path), method="majority", annotator=None, rounds=1)
    found = refine(config, tmp_path, pairs=path)
    assert len(read(path)) == sum(line.reason in PREFERRED for line in found.ledger) <= COUNT
