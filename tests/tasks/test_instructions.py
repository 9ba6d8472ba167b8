"""Instructions: the mix and its files in every form, what is left out, and what can be wrong."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from burnish.config import InstructionsTask
from burnish.errors import ConfigError, DataError
from burnish.protocols import Dataset
from burnish.tasks import local_files, make_task
from burnish.tasks.instruction_files import WRAPPER
from burnish.tasks.instructions import sources
from burnish.types import Example, Message, Role

REFUSAL, ANSWER = "Sorry, I cannot help with that.", "By the sea."


def alpaca(instruction: Any, output: Any = ANSWER, **more: Any) -> dict[str, Any]:
    return {"instruction": instruction, "input": "", "output": output, **more}


def write(path: Path, *rows: Any) -> str:
    """Write rows by the suffix of the name: one document for .json, else JSON lines."""
    text = json.dumps(rows) if path.suffix == ".json" else "".join(f"{json.dumps(row)}\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def task(folder: Path, **settings: Any) -> InstructionsTask:
    """Return a task over small files; a field given as a list of rows is written as `FIELD.jsonl`."""
    parts: dict[str, Any] = {
        "general": [alpaca("G one?"), alpaca("G two?")],
        "safety": [alpaca("S one!", REFUSAL)],
        "general_test": [alpaca("GT?")],
        "safety_test": [alpaca("ST!", REFUSAL)],
    }
    parts |= settings
    for field in ("general", "safety", "general_test", "safety_test"):
        match parts[field]:
            case [{}, *_] as rows:
                parts[field] = write(folder / f"{field}.jsonl", *rows)
            case _:
                pass
    return InstructionsTask.model_validate(
        {"kind": "instructions", "train_general": None, "train_safety": None, **parts}
    )


def load(config: InstructionsTask) -> Dataset:
    return make_task(config).load()


def prompts(examples: tuple[Example, ...]) -> list[str]:
    return [example.prompt[-1].content for example in examples]


# What is loaded


def test_both_categories_are_mixed_and_marked(tmp_path: Path) -> None:
    data = load(task(tmp_path))
    assert prompts(data.train) == ["G one?", "G two?", "S one!"]
    assert [row.metadata for row in data.train] == [{"category": name} for name in ("general", "general", "safety")]
    assert [(row.prompt[0].content, row.reference) for row in data.test] == [("GT?", ANSWER), ("ST!", REFUSAL)]
    assert data.test[1].metadata == {"category": "safety"}
    assert (data.dropped, data.left_out) == (0, {})


def test_ids_are_pinned_and_differ_between_categories_and_for_repeats(tmp_path: Path) -> None:
    """A change of these ids makes every stored result of a dataset without own ids unreachable."""
    data = load(task(tmp_path, general=[alpaca("Same"), alpaca("Same")], safety=[alpaca("Same", REFUSAL)]))
    assert [row.id for row in data.train] == ["8f0ffdff6bb5195d", "82b586a9362268d9", "d995786dd12b4872"]
    assert len({row.group for row in data.train}) == 1


def test_own_ids_are_used_and_unique_over_all_files(tmp_path: Path) -> None:
    data = load(task(tmp_path, general=[alpaca("G?", id=1)], safety=[alpaca("S!", id="s")]))
    assert [row.id for row in data.train] == ["1", "s"]
    with pytest.raises(DataError, match=r"safety\.jsonl:1: id '1' was used at .*general\.jsonl:1 already"):
        load(task(tmp_path, general=[alpaca("G?", id=1)], safety=[alpaca("S!", id="1")]))


def test_counts_choose_by_hash_in_any_order_of_the_file(tmp_path: Path) -> None:
    rows = [alpaca(f"{number}?") for number in range(20)]
    unsafe = [alpaca(f"{number}!", REFUSAL) for number in range(9)]
    counts = {"train_general": 5, "train_safety": 3, "test_general": 4, "test_safety": 2}
    chosen: list[tuple[list[str], list[str]]] = []
    for sign in (1, -1):
        tests = {
            "general_test": [alpaca(f"T{n}?") for n in range(8)],
            "safety_test": [alpaca(f"T{n}!") for n in range(8)],
        }
        data = load(task(tmp_path, general=rows[::sign], safety=unsafe[::sign], **tests, **counts))
        chosen.append((prompts(data.train), prompts(data.test)))
        assert [row.metadata["category"] for row in data.train] == ["general"] * 5 + ["safety"] * 3
        assert [row.metadata["category"] for row in data.test] == ["general"] * 4 + ["safety"] * 2
    assert sorted(chosen[0][0]) == sorted(chosen[1][0])
    assert chosen[0][1] == chosen[1][1]


def test_the_paper_counts_are_the_defaults(tmp_path: Path) -> None:
    config = task(tmp_path)
    defaults = InstructionsTask.model_validate(config.model_dump(exclude={"train_general", "train_safety"}))
    assert (defaults.train_general, defaults.train_safety) == (9500, 500)
    with pytest.raises(ConfigError, match=r"^task\.train_general: 9500 rows asked for, task\.general has 2 .* or null"):
        load(defaults)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"train_safety": 2},
            r"task\.train_safety: 2 rows asked for, task\.safety has 1 that can be used; set at most 1",
        ),
        ({"test_general": 2}, r"task\.test_general: 2 rows asked for, task\.general_test has 1"),
        ({"test_safety": 2}, r"task\.test_safety: 2 rows asked for, task\.safety_test has 1"),
    ],
)
def test_more_rows_than_there_are(tmp_path: Path, settings: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(task(tmp_path, **settings))


def test_a_tested_prompt_is_dropped_from_either_category(tmp_path: Path) -> None:
    general = [alpaca("GT?"), alpaca(" ST! "), alpaca("G?")]
    data = load(task(tmp_path, general=general, safety=[alpaca("GT?", REFUSAL), alpaca("S!", REFUSAL)]))
    assert prompts(data.train) == ["G?", "S!"]
    assert data.dropped == 3
    with pytest.raises(DataError, match=r"^task\.safety: every prompt is a test prompt too"):
        load(task(tmp_path, safety=[alpaca("ST!", REFUSAL)]))


def test_the_wrapper_of_test_questions_is_taken_off(tmp_path: Path) -> None:
    wrapped = {"question": f"{WRAPPER}G one?\n", "answer": ANSWER}
    data = load(task(tmp_path, general_test=[wrapped, {"question": WRAPPER, "answer": ANSWER}]))
    assert (prompts(data.test), data.left_out) == (["G one?", "ST!"], {"empty_prompt": 1})
    assert (prompts(data.train), data.dropped) == (["G two?", "S one!"], 1)


def test_empty_and_long_responses_are_left_out_and_counted(tmp_path: Path) -> None:
    general = [alpaca("A?", "12345"), alpaca("B?", "123456"), alpaca("C?", " "), alpaca("D?", None), alpaca(" ", "1")]
    config = task(
        tmp_path,
        general=general,
        safety=[alpaca("S!", " no  \n")],
        general_test=[alpaca("GT?", "1"), alpaca("GU?", "1234567")],
        safety_test=[alpaca("ST!", "no")],
        max_response=5,
    )
    data = load(config)
    assert prompts(data.train) == ["A?", "S!"]
    assert prompts(data.test) == ["GT?", "ST!"]
    assert data.left_out == {"empty_prompt": 1, "empty_response": 2, "response_too_long": 2}


# Forms and files


def test_every_form_and_kind_of_file(tmp_path: Path) -> None:
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": " Hello? "},
        {"role": "assistant", "content": ANSWER},
    ]
    pq.write_table(
        pa.table({"prompt": ["P?", "Q!"], "completion": [ANSWER, REFUSAL], "category": ["general", "safety"]}),
        tmp_path / "p.parquet",
    )
    (tmp_path / "c.csv").write_text(f"question,answer\nC?,{ANSWER}\n")
    files = [
        write(tmp_path / "m.jsonl", {"messages": turns}),
        write(tmp_path / "a.json", alpaca("A?") | {"input": "more"}, alpaca("A2?")),
        write(tmp_path / "z.jsonl.gz", alpaca("Z?")),
        str(tmp_path / "p.parquet"),
        str(tmp_path / "c.csv"),
    ]
    data = load(task(tmp_path, general=files, safety=str(tmp_path / "p.parquet")))
    assert prompts(data.train) == ["Hello?", "A?\n\nmore", "A2?", "Z?", "P?", "C?", "Q!"]
    assert data.train[0].prompt == (
        Message(role=Role.SYSTEM, content="Be kind."),
        Message(role=Role.USER, content="Hello?"),
    )


def test_one_file_serves_both_categories(tmp_path: Path) -> None:
    rows = [
        alpaca("GT?", category="general"),
        alpaca("ST!", REFUSAL, category="safety"),
        alpaca("E!", "", category="safety"),
    ]
    both = write(tmp_path / "both.jsonl", *rows)
    data = load(task(tmp_path, general_test=both, safety_test=both))
    assert prompts(data.test) == ["GT?", "ST!"]
    assert data.left_out == {"empty_response": 1}
    write(tmp_path / "both.jsonl", *rows, alpaca("?", category="saftey"))
    with pytest.raises(DataError, match=r"both\.jsonl:4: category is 'saftey', other rows have general or safety"):
        load(task(tmp_path, general_test=both, safety_test=both))
    write(tmp_path / "both.jsonl", rows[0])
    with pytest.raises(DataError, match=r"task\.safety_test: no row of .*both\.jsonl can be used \(none is safety\)"):
        load(task(tmp_path, general_test=both, safety_test=both))


def test_a_category_of_another_kind_is_just_a_column(tmp_path: Path) -> None:
    data = load(task(tmp_path, general=[alpaca("A?", category="poetry"), alpaca("B?", category=["x"]), alpaca("C?")]))
    assert prompts(data.train) == ["A?", "B?", "C?", "S one!"]


def test_bare_requests_get_the_refusal_as_their_reference(tmp_path: Path) -> None:
    first, second = tmp_path / "I-First.json", tmp_path / "I-Second.json"
    first.write_text(json.dumps({"instructions": ["One!\n", "Two!", ""], "tags": ["a", "b", "c"], "inputs": []}))
    second.write_text("\ufeff\n" + json.dumps({"instructions": ["Three!"], "inputs": ["more"]}))
    data = load(task(tmp_path, safety_test=[str(first), str(second)], refusal="Sorry, no."))
    assert prompts(data.test) == ["GT?", "One!", "Two!", "Three!\n\nmore"]
    assert {row.reference for row in data.test[1:]} == {"Sorry, no."}
    assert data.left_out == {"empty_prompt": 1}
    with pytest.raises(
        DataError, match=r"task\.general_test: I-First\.json holds requests without responses; only task\.s"
    ):
        load(task(tmp_path, general_test=str(first)))


BAD_REQUESTS: list[tuple[Any, str]] = [
    ({"instructions": [{}]}, r"x\.json instruction 1: column 'instruction' is"),
    ({"instructions": ["A", "B"], "inputs": ["C"]}, "`inputs` does not fit 2 instructions"),
    ({"instructions": []}, r"task\.safety_test: no row of .* can be used"),
    ({"instructions": "A"}, r"task\.safety_test: x\.json: dict with instructions found; write only the list of rows"),
    ({"rows": []}, "dict with rows found"),
]


@pytest.mark.parametrize(("document", "told"), BAD_REQUESTS)
def test_bad_bare_requests(tmp_path: Path, document: Any, told: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=told):
        load(task(tmp_path, safety_test=str(tmp_path / "x.json")))


# What can be wrong with files


def test_where_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = write(tmp_path / "both.jsonl", alpaca("GT?", category="general"), alpaca("ST!", category="safety"))
    monkeypatch.setenv("HOME", str(tmp_path))
    config = task(tmp_path, general_test=both, safety_test="~/both.jsonl")
    found = sources(config)
    assert list(found) == ["general", "safety", "general_test", "safety_test"]
    assert found["safety_test"] == found["general_test"] == (tmp_path / "both.jsonl",)
    assert local_files(config) == (tmp_path / "general.jsonl", tmp_path / "safety.jsonl", tmp_path / "both.jsonl")


@pytest.mark.parametrize(
    ("field", "origin"),
    [
        ("general", "https://github.com/tatsu-lab/stanford_alpaca"),
        ("safety", "https://github.com/vinid/safety-tuned-llamas"),
        ("general_test", "tatsu-lab/alpaca_eval"),
        ("safety_test", "I-MaliciousInstructions.json and I-CoNa.json"),
    ],
)
def test_a_missing_file_names_the_field_the_value_and_the_official_one(tmp_path: Path, field: str, origin: str) -> None:
    for place, why in (
        ("/no/where.jsonl", "does not exist"),
        (str(tmp_path), "is no file"),
        ("x" * 9999, "does not exist"),
    ):
        config = task(tmp_path, **{field: place})
        for use in (load, sources, local_files):
            with pytest.raises(ConfigError, match=rf"^task\.{field}: '{place[:40]}.*{why}.*{origin}"):
                use(config)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.txt", "", r"^task\.general: .*x\.txt' is of no known kind; give a file that ends in \.jsonl"),
        ("x.jsonl", "", r"^task\.general: .*x\.jsonl: no rows"),
        ("x.json", "[]", r"^task\.general: .*x\.json: no rows"),
        ("x.json", "{", r"^task\.general: x\.json:1: not JSON"),
        ("x.jsonl.gz", "no gzip", r"^task\.general: x\.jsonl\.gz: not a whole gzip file"),
        ("x.jsonl", '{"text": "a"}\n', r"^task\.general: x\.jsonl:1: no known form in the columns 'text'"),
        ("x.jsonl", '{"question": "a", "answer": ""}\n', r"^task\.general: x\.jsonl:1: empty completion.*no row of"),
        ("x.jsonl", '{"question": "a", "answer": "b"}\n[1]\n', r"x\.jsonl:2: list found"),
        (
            "x.jsonl",
            '{"question": "a", "answer": "b"}\n{"question": "a", "answer": {}}\n',
            r"x\.jsonl:2: column 'answer' is",
        ),
        ("x.jsonl", '{"question": "a", "answer": "b", "category": "general"}\n{\n', r"x\.jsonl:2: not JSON"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((ConfigError, DataError), match=told):
        load(task(tmp_path, general=str(tmp_path / name)))


def test_a_file_of_which_no_row_is_left_says_why(tmp_path: Path) -> None:
    rows = [alpaca("A?", "too long"), alpaca("B?", "")]
    with pytest.raises(DataError, match=r"task\.general: no row of .* \(1 empty_response, 1 response_too_long\)"):
        load(task(tmp_path, general=rows, max_response=2))


# Real data


def real(data_dir: Path, **settings: Any) -> InstructionsTask:
    test = str(data_dir / "safety" / "saferpaca_test.jsonl.gz")
    files = {
        "general": str(data_dir / "alpaca" / "alpaca_subset.jsonl.gz"),
        "safety": str(data_dir / "safety" / "safety_only_training.jsonl.gz"),
        "general_test": test,
        "safety_test": test,
    }
    return InstructionsTask.model_validate({"kind": "instructions", **files, **settings})


@pytest.mark.slow
def test_saferpaca_as_published(data_dir: Path) -> None:
    task_ = make_task(real(data_dir))
    data = task_.load()
    assert (len(data.train), len(data.test), data.dropped, data.left_out) == (10_000, 578, 0, {"empty_response": 9})
    assert sum(row.metadata["category"] == "safety" for row in data.train) == 500
    assert sum(row.metadata["category"] == "safety" for row in data.test) == 278
    assert not any("Below is an instruction" in prompt for prompt in prompts(data.test))
    assert len({row.id for row in (*data.train, *data.test)}) == 10_578
    # The one reference that is wrong refuses a general instruction.
    assert sum(task_.on(row).grade(row.reference or "").correct for row in data.test) == 577


@pytest.mark.slow
def test_the_red_team_files_are_the_test_set(data_dir: Path) -> None:
    bare = [str(data_dir / "safety" / f"{name}.json") for name in ("I-MaliciousInstructions", "I-CoNa")]
    wrapped, requests = load(real(data_dir)), load(real(data_dir, safety_test=bare))
    assert {row.group for row in wrapped.test} == {row.group for row in requests.test}
    assert {row.id for row in wrapped.test} == {row.id for row in requests.test}
    assert {row.reference for row in requests.test if row.metadata["category"] == "safety"} == {REFUSAL}
    assert {row.id for row in wrapped.train} == {row.id for row in requests.train}
