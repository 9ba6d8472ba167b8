"""Configs and arguments that nobody meant: a short ConfigError that names the place, never a crash or a hang."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import burnish
from burnish.cli import main
from burnish.config.reading import demo_config, parse_config, read_annotator, refine_config, words_of
from burnish.config.yaml_text import read_yaml
from burnish.errors import BurnishError, ConfigError

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 2020-99-99", r"'2020-99-99' is no timestamp; put text into quotes(?s:.*)line 1, column 4"),
        ("a: 1\nb: !!int abc", r"'abc' is no int(?s:.*)line 2, column 4"),
        ("a: !!float x", "'x' is no float"),
        ("a: !!bool z", "'z' is no bool"),
        ("a: !!timestamp z", "'z' is no timestamp"),
        ("a: " + "9" * 5000, "is no int"),
        ("[" * 900 + "]" * 900, "more than 40 levels"),
        ("{a: " * 900 + "1" + "}" * 900, "more than 40 levels"),
        ("[" * 100_000, "more than 40 levels"),
        (LAUGHS, "more than 100,000 values, counting those that each alias stands for"),
        ("a: &a [*a]", r"\*a is part of the value that it stands for"),
        ("a: &a {b: {c: *a}}", r"\*a is part of the value that it stands for"),
        ("a: *b", "undefined alias"),
        ("a: " + "x" * (1 << 20), "characters found; at most 1,048,576"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: " + "!" + "t" * 50_000 + " 1", "could not determine a constructor"),
        ("a: [", "not YAML"),
        ("\0", "not YAML"),
        ("\ud800", "not YAML"),
    ],
)
def test_yaml_that_cannot_be_read_is_named_and_short(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)^here: .*{words}") as raised:
        read_yaml(text, "here")
    assert len(str(raised.value)) < 700


def test_aliases_and_values_within_the_limits_are_read() -> None:
    assert read_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 3}}\ne: 2020-01-01T00:00:00Z", "x")["c"] == {"d": 3}
    assert read_yaml("[" * 40 + "]" * 40, "x") == eval("[" * 40 + "]" * 40)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("name=" + "x" * 5000, "name: 'xxx.*found"),
        ("x" * 100_000 + "=1", "no such field"),
        ("task.kind=" + "x" * 100_000, "task.kind: .*found.*'sums'"),
        ("train.epochs=" + "9" * 5000, "--set .*is not a YAML value"),
        ("seeds=" + "[" * 900, "--set .*is not a YAML value .*levels"),
        ('name="\\ud800"', "name: .*half a character"),
        ("methods.99999999999999999999999.alpha=1", "is not an index of a list"),
        ("methods.².alpha=1", "is not an index of a list"),
        ("x" * 100_000, "--set .*: write a.b=c"),
    ],
)
def test_a_huge_or_odd_value_makes_a_short_error(change: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){words}") as raised:
        demo_config([change])
    assert len(str(raised.value)) < 1500


def test_many_errors_are_counted() -> None:
    with pytest.raises(ConfigError, match=r"(?s)no such field.*and [0-9]+ more$") as raised:
        parse_config("\n".join(f"unknown{number}: 1" for number in range(1000)), "x")
    assert len(str(raised.value).splitlines()) == 22


def test_a_value_that_contains_itself_or_is_deep_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["data"] = endless
    with pytest.raises(ConfigError, match="more than 40 levels"):
        refine_config(endless)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('command:"x', r"cannot be split into words \(no closing quotation\); .*close each quote"),
        ("command:x \\", r"cannot be split into words \(no escaped character\)"),
        ("command:  ", "no program is named"),
        ("command:''", ""),
        ("oracle:", "write oracle:COLUMN"),
        ("x" * 5000, "there is no file .*; give a YAML file"),
        ("a\0b", "there is no file"),
        (
            "python judge.py",
            r"there is no file 'python judge.py'; .*run it as a program, write command:python judge.py",
        ),
    ],
)
def test_an_annotator_that_cannot_be_read(text: str, words: str) -> None:
    if not words:
        assert read_annotator(text).kind == "command"
        return
    with pytest.raises(ConfigError, match=f"^annotator: .*{words}") as raised:
        read_annotator(text)
    assert len(str(raised.value)) < 500


def test_a_program_is_no_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "judge.py"
    path.write_text("import json\n")
    with pytest.raises(
        ConfigError, match=r"^annotator: '.*judge\.py' is a program and no YAML file; .*'command:python "
    ):
        read_annotator(str(path))


def test_words_are_split_as_a_shell_does() -> None:
    assert words_of("python 'my judge.py' --fast", "x") == ["python", "my judge.py", "--fast"]


# --- burnish.refine


NOTHING: list[Any] = []
DEEP = functools.reduce(lambda inner, _: [inner], range(3000), NOTHING)
ODD: list[Any] = [
    5,
    1.5,
    True,
    [],
    {},
    [1],
    {"a": 1},
    b"x",
    object(),
    "x" * 5000,
    "\ud800",
    "a\0b",
    -1,
    10**30,
    {1},
    DEEP,
]
ARGUMENTS = (
    *("model", "annotator", "out", "store", "backend", "overwrite", "rounds", "alpha", "method", "checker", "differs"),
    *("reference", "template", "comparisons", "audit", "audit_by", "max_harm", "on_bad_row", "no_selftest", "go_on"),
    *("changes", "max_calls", "max_cost", "nonsense"),
)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_wrong_types_in_python_are_named(argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model does not exist, so that each call ends with an error of burnish, if with no other one."""
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"q{number}", "completion": "a"} for number in range(3)]
    for value in ODD:
        given: dict[str, Any] = {"model": "/nowhere", "annotator": "oracle:gold", argument: value}
        with pytest.raises(BurnishError):
            burnish.refine(rows, **given)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rounds": "two"}, "rounds: 'two' found: .*integer"),
        ({"rounds": "2"}, "rounds: '2' found: .*integer"),
        ({"alpha": "0.1"}, "alpha: '0.1' found"),
        ({"changes": "a.b=1"}, "changes: 'a.b=1' found"),
        ({"checker": 5}, "checker: 5 found: .*string"),
        ({"differs": 5}, "differs"),
        ({"template": ["chat"]}, r"template: \['chat'\] found: .*string"),
        ({"method": 5}, "method: 5 found: .*string"),
        ({"overwrite": "yes"}, "overwrite: 'yes' found; give True or False"),
        ({"no_selftest": "yes"}, "no_selftest: 'yes' found: .*boolean"),
        ({"max_calls": "3"}, "max_calls: '3' found; give a number of calls"),
        ({"max_cost": True}, "max_cost: True found; give an amount of money"),
        ({"out": 5}, "out: 5 found; give a text or a pathlib.Path"),
        ({"store": b"x"}, "store: b'x' found"),
        ({"model": None}, "model: none is given"),
        ({"out": "a\0b"}, "out: .*found"),
        ({"backend": "fake"}, "backend: 'fake' has no method train"),
    ],
)
def test_a_wrong_type_names_field_value_and_fix(arguments: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"model": "/nowhere", "annotator": "people", **arguments}
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        burnish.refine([{"prompt": "q", "completion": "a"}], **given)


# --- names that the system refuses


@pytest.mark.parametrize("option", ["--store", "--out", "--annotator", "--template", "--model", "data"])
def test_a_name_of_5000_characters_is_a_short_error(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    long = "x" * 5000
    values = {"--annotator": "people", "--model": "/nowhere", option: long}
    data = values.pop("data", "d.jsonl")
    result = CliRunner().invoke(main, ["refine", data, *(word for pair in values.items() for word in pair)])
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.startswith("error: ")
    assert len(result.stderr) < 2000
