"""Before rows go to a server on another machine, the first lines say what goes where; also in a dry run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from refinement import COUNT, fake, settings, written
from servers import FaultServer
from test_refine_judge import judge, knows

from burnish.cli import main
from burnish.inputs import context
from burnish.refinery.sending import sent_elsewhere
from burnish.services import elsewhere, endpoint

KEY = "sk-a-key-that-nobody-may-see"
AWAY = "https://judge.example.com:8443/v1"
HOST = "sent to judge.example.com:8443, which is not on this machine"


def lines_of(where: Path, *changes: str, **options: Any) -> list[str]:
    return list(sent_elsewhere(settings(written(where), *changes, **options), COUNT))


def test_at_most_as_many_comparisons_and_rows_as_the_settings_allow(tmp_path: Path) -> None:
    assert lines_of(tmp_path, **judge(AWAY), comparisons=25) == [
        f"{HOST} (annotator): the prompts and both answers of at most 50 comparisons (at most 50 rows). References are "
        "not sent."
    ]
    options = judge(AWAY) | {"no_selftest": False}
    assert lines_of(tmp_path, **options) == [
        f"{HOST} (annotator): the prompts and both answers of at most 120 comparisons (at most 60 rows), and for the "
        "self-test at most 24 rows with answers and altered answers. References are not sent."
    ]


def test_nothing_is_said_where_nothing_leaves_the_machine(tmp_path: Path) -> None:
    assert lines_of(tmp_path) == []
    assert lines_of(tmp_path, annotator="people") == []
    assert lines_of(tmp_path, **judge("http://127.0.0.1:9/v1")) == []
    # `majority` asks no annotator, also if one is configured.
    assert lines_of(tmp_path, **judge(AWAY), method="majority") == []


def test_each_judge_of_a_vote_and_a_server_of_embeddings_are_said(tmp_path: Path) -> None:
    other = judge("http://192.0.2.1/v1")["annotator"]
    of = [judge(AWAY)["annotator"], other, other, {"kind": "oracle", "column": "gold"}]
    differs = {"kind": "embedding_server", "base_url": "https://vectors.example/v1", "model": "m"}
    found = lines_of(tmp_path, annotator={"kind": "majority", "of": of}, differs=differs)
    assert [line.split()[2] for line in found] == ["judge.example.com:8443,", "192.0.2.1,", "vectors.example,"]
    assert "(differs): at most 240 answers (of at most 60 rows) without their prompts" in found[-1]


# --- on the command line, with a server on this machine that counts as another one


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "is_here", lambda host: False)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(context, "opener_of", lambda *_: fake)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    monkeypatch.setenv("THE_KEY", KEY)


MODEL = ("--model", "builtin:strong", "--set", "decode.max_new_tokens=40")


def call(where: Path, verb: str, address: str, *arguments: str) -> Result:
    path = where / "judge.yaml"
    path.write_text(yaml.safe_dump(judge(address, api_key_env="THE_KEY")["annotator"]))
    store = ("--store", str(where / "store"))
    if verb == "selftest":
        return CliRunner().invoke(main, ["selftest", str(path), *store, *arguments])
    quick = ("--set", "decode.beams=1", "--set", "train.lora=null", "--differs", "number", "--rounds", "1")
    places = ("--annotator", str(path), "--out", str(where / "out"), *store, *quick)
    return CliRunner().invoke(main, ["refine", str(written(where)), *MODEL, *places, *arguments])


@pytest.mark.slow
@pytest.mark.usefixtures("away")
def test_the_first_line_of_refine_says_it_before_the_server_is_asked(tmp_path: Path) -> None:
    with FaultServer(rule=knows) as running:
        host = running.address.removeprefix("http://").removesuffix("/v1")
        planned = call(tmp_path, "refine", running.address, "--dry-run")
        assert running.asked.total() == 0
        done = call(tmp_path, "refine", running.address)
        again = call(tmp_path, "refine", running.address)
    assert done.exit_code == 0, done.output
    line = (
        f"sent to {host}, which is not on this machine (annotator): the prompts and both answers of at most 60 "
        "comparisons (at most 60 rows), and for the self-test at most 24 rows with answers and altered answers. "
        "References are not sent."
    )
    assert planned.stdout.splitlines()[0] == line
    # The stage `data` runs first: it reads the file and sends nothing.
    said = [found for found in done.stderr.splitlines() if "] data: " not in found]
    assert said[0] == line
    assert "which is not on this machine" not in again.output  # everything is finished, so nothing is sent
    assert KEY not in planned.output + done.output


@pytest.mark.usefixtures("away")
def test_a_dry_run_as_json_has_it(tmp_path: Path) -> None:
    found = json.loads(call(tmp_path, "refine", AWAY, "--dry-run", "--json").stdout)
    assert len(found["sent"]) == 1
    assert found["sent"][0].startswith(HOST)


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "the prompts, answers and altered answers of 5 rows that come with burnish"),
        (("--data", "DATA"), "the prompts, answers and altered answers of 5 rows of your data"),
        (("--pairs", "PAIRS"), "the prompts and both answers of 2 labelled pairs"),
    ],
)
def test_selftest_says_it_first(options: tuple[str, ...], what: str, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pair = {"prompt": "What is 1 + 1?", "first": "#### 2", "second": "#### 3", "label": 1}
    pairs.write_text("".join(json.dumps(pair | {"prompt": f"What is {i} + 1?"}) + "\n" for i in (1, 2)))
    places = {"DATA": str(written(tmp_path)), "PAIRS": str(pairs)}
    with FaultServer(rule=lambda _: {"A": 1.0}) as running:
        host = running.address.removeprefix("http://").removesuffix("/v1")
        found = call(
            tmp_path, "selftest", running.address, "--rows", "5", *(places.get(word, word) for word in options)
        )
    assert found.exit_code == 1, found.output  # a judge that always says A cannot be used
    line = f"sent to {host}, which is not on this machine (annotator): {what}. References are not sent."
    assert found.stderr.splitlines()[0] == line
    assert KEY not in found.output
