"""A user's program that sleeps, floods, contradicts itself, leaves children, or outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refinement import refine, script, settings, written

from burnish.config import CommandConfig, CommandDiffers, VerifiedMethod
from burnish.errors import AnnotatorError, brief
from burnish.services import child
from burnish.services.program import Program, converse, files_of

ASKED = [{"id": f"q{number}"} for number in range(4)]
Talk = Callable[..., list[tuple[str, Any]]]


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    """Ask a program whose body follows; the setting that names it is `annotator.command`."""

    def talking(body: str, timeout: float = 60.0, say: Callable[[str], None] = print) -> list[tuple[str, Any]]:
        command = tuple(script(tmp_path, "program.py", body))
        program = Program(command=command, field="annotator.command", timeout=timeout, say=say)
        return list(converse(program, ASKED, lambda answer: answer.get("value")))

    return talking


def alive(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    """Wait until a process is gone."""
    for _ in range(500):
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


# --- time


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "import time; time.sleep(600)",
        "import time; say('q0', value=1); time.sleep(600)",
        "import os, time; os.close(1); time.sleep(600)",  # no answer can come any more
        "import time\nfor row in rows: say(row['id'], value=1)\ntime.sleep(600)",
        "import time\nwhile True: say('nobody', value=1); time.sleep(0.05)",
        "import time\nwhile True: print(flush=True); time.sleep(0.05)",
        "import time\nwhile True: sys.stdout.write('x'); sys.stdout.flush(); time.sleep(0.05)",
        "import time\nlist(rows)\nwhile True: say('q0', value=1); time.sleep(0.05)",
    ],
)
def test_a_program_that_brings_nothing_new_is_ended(talk: Talk, body: str) -> None:
    words = r"gave no new answer for 0\.4 seconds and was ended; .* raise annotator.timeout \(--set annotator.timeout="
    with pytest.raises(AnnotatorError, match=words):
        talk(body, timeout=0.4)


@pytest.mark.slow
def test_the_time_counts_from_the_last_answer_and_not_while_we_work(tmp_path: Path) -> None:
    command = script(tmp_path, "program.py", "import time\nfor row in rows: time.sleep(0.6); say(row['id'], value=1)")
    program = Program(command=tuple(command), field="f.command", timeout=1.5)
    found: list[str] = []
    for id_, _ in converse(program, ASKED, lambda answer: answer):  # 2.4 seconds, and more between them
        found.append(id_)
        time.sleep(2.0 if id_ == "q1" else 0)
    assert found == ["q0", "q1", "q2", "q3"]


def test_the_timeout_is_a_setting_that_changes_no_result(tmp_path: Path) -> None:
    assert CommandConfig(kind="command", command=("x",)).timeout == 600
    assert CommandDiffers(kind="command", command=("x",)).timeout == 600
    assert VerifiedMethod(kind="verified", checker=("x",)).timeout == 600
    source = written(tmp_path)
    command = script(tmp_path, "judge.py", "for row in rows: say(row['id'], verdict='tie')")
    for timeout in (600, 30):
        judge = {"kind": "command", "command": command, "timeout": timeout}
        refine(settings(source, annotator=judge, no_selftest=True, rounds=1), tmp_path)
    assert len(list((tmp_path / "store" / "stages" / "judge").iterdir())) == 1


# --- output


def test_a_line_without_an_end_is_bounded(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MAX_LINE", 1000)
    with pytest.raises(AnnotatorError, match="wrote more than 1,000 bytes without the end of a line, beginning with"):
        talk("while True: sys.stdout.write('x' * 1000)")


@pytest.mark.slow
def test_messages_do_not_fill_the_disk(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MAX_STDERR", 1 << 16)
    body = """
        import time
        for _ in range(40):
            sys.stderr.write("x" * 100_000)
            sys.stderr.flush()
            time.sleep(0.02)
        sys.exit("the end")
        """
    with pytest.raises(AnnotatorError, match=r"status 1: .*the end; run again") as raised:
        talk(body)
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize("value", [b"x" * 100_000, b'{"id": "q0", "value": ' + b"[" * 900 + b"]" * 900 + b"}"])
def test_what_is_said_of_a_large_answer_is_short(talk: Talk, value: bytes) -> None:
    body = f"sys.stdout.buffer.write({value!r} + b'\\n'); sys.stdout.buffer.write(b'[]\\n')"
    with pytest.raises(AnnotatorError, match="write one JSON object a line") as raised:
        talk(body)
    assert len(str(raised.value)) < 500


def test_an_answer_may_come_twice_but_not_contradict_itself(talk: Talk) -> None:
    twice = "for row in rows:\n    for why in 'ab': say(row['id'], value=1, why=why)"
    assert talk(twice) == [(f"q{number}", 1) for number in range(4)]
    with pytest.raises(
        AnnotatorError, match=r"line 3 .* contradicts an earlier answer for 'q0': .*answer each .* once"
    ):
        talk("list(rows); say('q0', value=1); say('q1', value=1); say('q0', value=2)")


def test_answers_for_nobody_are_counted_and_said(talk: Talk) -> None:
    said: list[str] = []
    body = "list(rows)\nfor id in ('x', 'q0', 'y', 'x'): say(id, value=1)"
    assert talk(body, say=said.append) == [("q0", 1)]
    assert len(said) == 1
    assert said[0].startswith("annotator.command: 3 answers of ")
    assert "an id that nobody asked about, such as 'x'; they are passed over" in said[0]


def test_a_question_that_cannot_be_written_is_no_silence(tmp_path: Path) -> None:
    program = Program(command=tuple(script(tmp_path, "p.py", "list(rows)")), field="f.command")
    with pytest.raises(TypeError):
        list(converse(program, [{"id": "a", "prompt": "\ud800"}], lambda answer: answer))


# --- processes


@pytest.mark.slow
def test_a_child_that_holds_the_output_does_not_make_us_wait(talk: Talk, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    body = f"""
        import subprocess
        for row in rows:
            say(row["id"], value=1)
        held = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(pid)!r}, "w").write(str(held.pid))
        """
    assert len(talk(body)) == 4
    assert ends(int(pid.read_text()))  # it ends with its parent


@pytest.mark.slow
def test_what_a_child_says_after_its_parent_has_ended_is_still_read(talk: Talk) -> None:
    body = """
        import subprocess
        late = "import json, time; time.sleep(0.4); print(json.dumps(dict(id='q0', value=7)), flush=True)"
        list(rows)
        subprocess.Popen([sys.executable, "-S", "-c", late])
        """
    assert talk(body) == [("q0", 7)]


def test_a_program_and_its_children_end_with_us_though_we_are_killed(tmp_path: Path) -> None:
    """On Linux and macOS alike: nothing here is the kernel's parent-death signal."""
    pids = tmp_path / "pids"
    command = script(
        tmp_path,
        "program.py",
        f"""
        import os, subprocess, time
        held = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(pids)!r} + ".part", "w").write(f"{{os.getpid()}} {{held.pid}}")
        os.replace({str(pids)!r} + ".part", {str(pids)!r})
        time.sleep(600)
        """,
    )
    us = textwrap.dedent(f"""
        from burnish.services.program import Program, converse
        list(converse(Program(command={tuple(command)!r}, field="f.command"), [], lambda answer: answer))
    """)
    parent = subprocess.Popen([sys.executable, "-c", us])
    try:
        for _ in range(1500):
            if pids.exists():
                break
            assert parent.poll() is None
            time.sleep(0.02)
        programs = [int(pid) for pid in pids.read_text().split()]
        assert all(map(alive, programs))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert all(map(ends, programs))


@pytest.mark.parametrize(
    "command", [("no-such-program" + "x" * 5000,), ("a\0b",), (sys.executable, "a\0b"), ("/" + "x" * 5000,)]
)
def test_a_program_whose_words_cannot_be_passed_on(command: tuple[str, ...]) -> None:
    assert files_of(command) == [path for path in [Path(command[0])] if command[0] == sys.executable]
    with pytest.raises(AnnotatorError, match=r"f.command: .* cannot be run \(.*\); give a program") as raised:
        list(converse(Program(command=command, field="f.command"), [], lambda answer: answer))
    assert len(str(raised.value)) < 400


# --- what errors show


def test_a_value_in_an_error_is_short() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert brief("x") == "'x'"
    assert brief({"a": [1, None, 2.5]}) == "{'a': [1, None, 2.5]}"
    many = dict.fromkeys(range(1000), "z" * 100)
    for value in ("x" * 100_000, ["y" * 1000] * 1000, many, deep, 10**5000, "\ud800"):
        assert len(brief(value)) <= 200
        brief(value).encode()
