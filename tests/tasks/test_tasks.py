"""Tasks: rows to examples, ids, the overlap of the splits, real data, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from burnish.config import Gsm8kTask, SumsTask, TaskSettings, WordProblemsTask
from burnish.errors import BackendError, BurnishError, ConfigError, DataError
from burnish.protocols import Dataset
from burnish.tasks import local_files, make_task, task_named
from burnish.tasks.sums_world import generate
from burnish.types import Example, Message, Role, prompt_group


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def gsm(question: str, answer: str = "#### 1", **more: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, **more}


def folder(path: Path, train: list[Any], test: list[Any]) -> Gsm8kTask:
    write(path / "train.jsonl", *train)
    write(path / "test.jsonl.gz", *test)
    return Gsm8kTask(kind="gsm8k", source=str(path))


def load(config: TaskSettings) -> Dataset:
    return make_task(config).load()


def all_gold_is_right(config: TaskSettings) -> Dataset:
    task = make_task(config)
    data = task.load()
    both = (*data.train, *data.test)
    assert [row.id for row in both if not task.on(row).grade(row.reference or "").correct] == []
    assert len({row.id for row in both}) == len(both)
    assert not {row.group for row in data.train} & {row.group for row in data.test}
    return data


# Real data


@pytest.mark.slow
def test_every_gold_answer_of_gsm8k_is_right_against_itself(data_dir: Path) -> None:
    data = all_gold_is_right(Gsm8kTask(kind="gsm8k", source=str(data_dir / "gsm8k")))
    assert (len(data.train), len(data.test), data.dropped) == (7473, 1319, 0)
    assert "<<48/2=24>>" in (data.train[0].reference or "")


@pytest.mark.slow
def test_mawps_loses_the_training_rows_whose_question_is_tested(data_dir: Path) -> None:
    config = WordProblemsTask(kind="word_problems", source=str(data_dir / "math_word_problems" / "mawps.jsonl.gz"))
    data = all_gold_is_right(config)
    # 1,898 training rows are in the file, 237 of the split `valid` are in neither.
    assert (len(data.train), len(data.test), data.dropped) == (1873, 238, 25)
    assert len({row.group for row in data.train}) == 1751
    assert (data.train[0].id, data.train[0].reference) == ("2351", "(22-14)/4 = 2 #### 2")


def test_svamp_is_split_by_hash(data_dir: Path) -> None:
    config = WordProblemsTask(kind="word_problems", source=str(data_dir / "math_word_problems" / "svamp.jsonl"))
    data = all_gold_is_right(config)
    assert (len(data.train), len(data.test), data.dropped) == (800, 200, 0)
    assert (
        data.train[0]
        .prompt[0]
        .content.endswith("discount of 25 dollars on each pack. How much do you have to pay to buy each pack?")
    )


# What an example is made of


def test_an_example_of_gsm8k(tmp_path: Path) -> None:
    row = gsm(" How many? ", "6*2 = <<6*2=12>>12\n#### 12\n", level=3)
    data = load(folder(tmp_path, [row], [gsm("Other?")]))
    (example,) = data.train
    assert example.prompt == (Message(role=Role.USER, content="How many?"),)
    assert example.group == prompt_group(example.prompt)
    assert example.reference == "6*2 = <<6*2=12>>12\n#### 12"
    assert example.metadata == {"level": 3}


def test_ids_are_pinned_and_differ_for_repeats(tmp_path: Path) -> None:
    """A change of these ids makes every stored result of a dataset without own ids unreachable."""
    data = load(folder(tmp_path, [gsm("A?"), gsm("A?"), gsm("B?")], [gsm("C?")]))
    assert [row.id for row in data.train] == ["ec04534f0ae4327e", "6eaa65c1bc73f684", "36818984ce3bc842"]
    assert data.train[0].group == data.train[1].group != data.train[2].group


def test_own_ids_are_used(tmp_path: Path) -> None:
    data = load(folder(tmp_path, [gsm("A?", id=7), gsm("B?", id="b")], [gsm("C?", id="c")]))
    assert [row.id for row in (*data.train, *data.test)] == ["7", "b", "c"]
    assert data.train[0].metadata == {}


def test_a_training_prompt_that_is_tested_is_dropped_whatever_the_test_count(tmp_path: Path) -> None:
    config = folder(tmp_path, [gsm("A?"), gsm("A?"), gsm("B?")], [gsm("A?"), gsm("C?"), gsm("D?")])
    for test in (None, 1):
        data = load(config.model_copy(update={"test": test}))
        assert [row.prompt[0].content for row in data.train] == ["B?"]
        assert data.dropped == 2


def test_a_count_takes_the_same_rows_in_any_order_of_the_file(tmp_path: Path) -> None:
    rows = [gsm(f"{number}?") for number in range(20)]
    chosen: list[list[str]] = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        config = folder(tmp_path / name, order, [gsm("T?")]).model_copy(update={"train": 5})
        chosen.append([row.id for row in load(config).train])
    assert len(chosen[0]) == 5
    assert chosen[0] == chosen[1][::-1]
    fewer = load(config.model_copy(update={"train": 3})).train
    assert {row.id for row in fewer} < set(chosen[0])


def test_sums_are_the_first_rows_of_one_world() -> None:
    data = all_gold_is_right(SumsTask(kind="sums", train=30, test=10, world=4))
    world = generate(40, 4)
    assert [row.reference for row in (*data.train, *data.test)] == [problem.solution for problem in world]
    assert data.train[0].prompt[0].content == world[0].question
    assert (len(data.train), len(data.test), data.dropped) == (30, 10, 0)


# Where data comes from


def test_local_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gsm8k = folder(tmp_path / "openai" / "gsm8k", [gsm("A?")], [gsm("B?")])
    paths = (tmp_path / "openai" / "gsm8k" / "train.jsonl", tmp_path / "openai" / "gsm8k" / "test.jsonl.gz")
    assert local_files(gsm8k) == paths
    one = write(tmp_path / "words.jsonl", {})
    assert local_files(WordProblemsTask(kind="word_problems", source=str(one))) == (one,)
    assert local_files(SumsTask(kind="sums")) == ()
    hub = Gsm8kTask(kind="gsm8k")
    assert local_files(hub) == ()
    monkeypatch.chdir(tmp_path)
    assert len(local_files(hub)) == 2  # a folder of that name is there now
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_files(WordProblemsTask(kind="word_problems", source="~/words.jsonl")) == (one,)


@pytest.mark.parametrize(
    "source", ["/no/where", "./no/where", "~/nowhere", "~nobody-here/x", "gsm8k", "a/b/c", "x" * 9999]
)
def test_a_missing_local_path_is_no_hub_id(source: str) -> None:
    for config in (Gsm8kTask(kind="gsm8k", source=source), WordProblemsTask(kind="word_problems", source=source)):
        for use in (local_files, load):
            with pytest.raises(ConfigError, match=r"task\.source: .* does not exist"):
                use(config)


def test_a_folder_must_hold_each_split_once(tmp_path: Path) -> None:
    config = Gsm8kTask(kind="gsm8k", source=str(tmp_path))
    with pytest.raises(ConfigError, match=r"no train\.jsonl or train\.jsonl\.gz in"):
        load(config)
    write(tmp_path / "train.jsonl", gsm("A?"))
    write(tmp_path / "train.jsonl.gz", gsm("A?"))
    with pytest.raises(ConfigError, match="remove one of them"):
        load(config)
    with pytest.raises(ConfigError, match="is a folder"):
        load(WordProblemsTask(kind="word_problems", source=str(tmp_path)))


def test_the_hub_is_asked_for_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(source: str, name: str, *, revision: str | None, split: str) -> list[dict[str, Any]]:
        asked.append((source, name, revision, split))
        return [gsm(f"{split} A?"), gsm(f"{split} B?")]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    data = load(Gsm8kTask(kind="gsm8k", revision="abc"))
    assert asked == [("openai/gsm8k", "main", "abc", "train"), ("openai/gsm8k", "main", "abc", "test")]
    assert [row.prompt[0].content for row in data.test] == ["test A?", "test B?"]


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no such dataset"), ConnectionError("offline"), ValueError("no config")]
)
def test_the_hub_refuses(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(ConfigError, match=rf"task\.source: train of 'openai/gsm8k' .*{error}; check"):
        load(Gsm8kTask(kind="gsm8k"))


def test_the_hub_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BackendError, match=r"pip install 'burnish\[train\]'"):
        load(Gsm8kTask(kind="gsm8k"))


# What can be wrong


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"answer": "#### 1"}, "no column 'question', found 'answer'"),
        ({"question": "A?"}, "no column 'answer'"),
        (gsm("A?", "five"), "end it with `#### NUMBER`"),
        (gsm("A?", "it is 5"), "end it with `#### NUMBER`"),
        (gsm("A?", "5 ####"), "end it with `#### NUMBER`"),
        (gsm(" "), "'question' is blank"),
        ({"question": 5, "answer": "#### 1"}, "'question' is int, found 5"),
        ({"question": "A?", "answer": 1}, "'answer' is int"),
        (gsm("A?", id=None), "'id' is None"),
        (gsm("A?", id=True), "'id' is True"),
        (gsm("A?", id=""), "'id' is ''"),
        (gsm("A?", id="first"), r"id 'first' was used at .*train\.jsonl:1 already"),
        (["no object"], "list found"),
    ],
)
def test_a_bad_row_of_gsm8k_names_its_line(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        load(folder(tmp_path, [gsm("Z?", id="first"), row], [gsm("T?")]))
    assert str(caught.value).startswith(f"{tmp_path / 'train.jsonl'}:2: ")


def test_an_id_of_both_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"test\.jsonl\.gz:1: id '1' was used at .*train\.jsonl:1 already"):
        load(folder(tmp_path, [gsm("A?", id=1)], [gsm("B?", id="1")]))


EMPTY: list[tuple[Callable[[Path], TaskSettings], str]] = [
    (lambda path: folder(path, [], [gsm("A?")]), "the train split is empty"),
    (lambda path: folder(path, [gsm("A?")], []), "the test split is empty"),
    (lambda path: folder(path, [gsm("A?")], [gsm("A?")]), "every training prompt is a test prompt"),
]


@pytest.mark.parametrize(("make", "told"), EMPTY)
def test_an_empty_split_is_an_error(tmp_path: Path, make: Callable[[Path], TaskSettings], told: str) -> None:
    with pytest.raises(DataError, match=told):
        load(make(tmp_path))


@pytest.mark.parametrize("split", ["train", "test"])
def test_more_rows_than_there_are(tmp_path: Path, split: str) -> None:
    config = folder(tmp_path, [gsm("A?"), gsm("B?")], [gsm("C?"), gsm("D?")]).model_copy(update={split: 3})
    with pytest.raises(ConfigError, match=rf"task\.{split}: 3 rows asked for, .* has 2; set at most 2"):
        load(config)


def test_tasks_by_name() -> None:
    for kind in ("gsm8k", "sums", "word_problems"):
        grader = task_named(kind).on(Example(id="e", group="", prompt=()))
        a, b = grader.extract("#### 5"), grader.extract("so #### 5.0.")
        assert a is not None
        assert b is not None
        assert grader.agree(a, b)
        # The embedded base models solve stories in other words than the task's: sums want the marker.
        assert (grader.extract("so 5.") is None) == (kind == "sums")
    with pytest.raises(BurnishError, match="choose gsm8k, instructions, sums, text_to_sql or word_problems"):
        task_named("")
