"""Every tutorial runs as it stands, and prints what it shows; and the reader of pages notices where one does not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tutorials import FENCE, Page, blocks, commands, difference, expected

from burnish.config import ServerProposals
from burnish.config.reading import read_annotator
from burnish.refinery.options import Options, config_of

PAGES = Path(__file__).parents[1] / "docs" / "tutorials"
TUTORIALS = sorted(PAGES.glob("1*.md"))
STAND_IN = PAGES / "stand_in_judge.py"
ADDRESS = "http://localhost:8000/v1"


@pytest.fixture
def server() -> Iterator[str]:
    """The stand-in of tutorial 101, at a free port."""
    with subprocess.Popen([sys.executable, str(STAND_IN), "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_prints_what_it_shows(path: Path, tmp_path: Path, server: str) -> None:
    page = Page(path, tmp_path, {ADDRESS: server})
    shown = sum(block.kind == "text" for block in blocks(path.read_text(encoding="utf-8")))
    assert page.run() == shown >= 4
    assert all(f"python {STAND_IN.name}\n" in text for text in page.elsewhere)
    for settings in tmp_path.glob("*.yaml"):
        if not settings.name.startswith("study"):
            read_annotator(str(settings))


def test_all_tutorials_are_in_the_index() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert len(TUTORIALS) == 6
    assert [path.name for path in TUTORIALS if f"({path.name})" not in index] == []


def test_the_dataset_is_made_alike_in_all_tutorials() -> None:
    made = {match[3] for path in TUTORIALS for match in FENCE.finditer(path.read_text()) if "# make.py" in match[3]}
    assert len(made) == 1


def test_the_servers_in_the_reference_of_the_verb_can_be_read(tmp_path: Path) -> None:
    text = (PAGES.parent / "refine.md").read_text(encoding="utf-8")
    proposer, judge, route = [block.text for block in blocks(text) if block.kind == "yaml"]
    for kind, annotator in (("judge", judge), ("route", route)):
        (tmp_path / "annotator.yaml").write_text(annotator)
        assert read_annotator(str(tmp_path / "annotator.yaml")).kind == kind
    (tmp_path / "server.yaml").write_text(proposer)
    given = config_of(Options(data="d.jsonl", annotator="people", proposals=str(tmp_path / "server.yaml")))
    assert isinstance(given.proposals, ServerProposals)


def run(tmp_path: Path, text: str) -> int:
    path = tmp_path / "page.md"
    path.write_text(text)
    return Page(path, tmp_path, {"old": "new"}).run()


def test_files_commands_and_scripts_of_a_page_are_run_in_order(tmp_path: Path) -> None:
    text = """Words.

```python
# a.py
print("old", 1)
```

```sh
python a.py
echo \\
  two; exit 3    # exit code 3
```

```text
new 1
two
```

```python
print(open("a.py").readline().strip())
```

```text
# a.py
```
"""
    assert run(tmp_path, text) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```sh\nexit 3\n```\n", "page.md:1: exit 3\nended with 3, not 0"),
        ("```sh\ntrue    # exit code 3\n```\n", "ended with 0, not 3"),
        ("```python\nraise SystemExit(1)\n```\n", "ended with 1, not 0"),
        ("```sh\necho one\n```\n\n```text\ntwo\n```\n", "page.md:5: the page shows\ntwo"),
        ("```text\nnothing\n```\n", "page.md:1: shows the output of no block"),
        ("```sh\necho a\n```\n\n```text\na\n```\n\n```text\na\n```\n", "page.md:9: shows the output of no block"),
        ("```json\n{}\n```\n", "a block of 'json' is neither run nor compared"),
        ("```yaml\nkind: judge\n```\n", "a block of 'yaml' is neither run nor compared"),
        ("```sh\ntrue\n", "a fence is not closed"),
    ],
)
def test_a_page_that_does_not_hold_is_found(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        run(tmp_path, text)


@pytest.mark.parametrize(
    ("shown", "printed", "about", "alike"),
    [
        ("a\nb\n", "a\nb\n", False, True),
        ("a   b\n", "a b\n", False, True),
        ("a\n", "a\nb\n", False, False),
        ("b\n", "a\nb\n", False, False),
        ("a\n...\n", "a\nb\nc\n", False, True),
        ("...\nc\n", "a\nb\nc\n", False, True),
        ("...\nb\n", "a\nb\nc\n", False, False),
        ("a\n...\nc\n", "a\nb\nc\n", False, True),
        ("a\n...\nb\n...\nd\n", "a\nb\nc\nd\n", False, True),
        ("a\n...\nc\n...\nb\n", "a\nb\nc\n", False, False),
        ("id 0123abcd\n", "id ffff0000\n", False, True),
        ("id 0123abc\n", "id ffff000\n", False, False),
        ("n 5\n", "n 6\n", False, False),
        ("n 5\n", "n 6\n", True, True),
        ("n 5\n", "n 12\n", True, False),
        ("n 1,000\n", "n 1,190.5\n", True, True),
        ("n 1,000\n", "n 1,300\n", True, False),
        ("75.0 % right\n", "75.0 % wrong\n", True, False),
        ("−3.7\n", "3.7\n", True, False),
        ("one 1\n", "one\n", True, False),
    ],
)
def test_what_is_shown_is_compared_with_what_was_printed(shown: str, printed: str, about: bool, alike: bool) -> None:
    assert (difference(shown, printed, about) is None) is alike


def test_a_command_and_its_status_are_read_from_a_block() -> None:
    text = "# a remark\nburnish refine a.jsonl \\\n  --rounds 1    # exit code 3\n\nls\n"
    found = commands(text)
    assert found == ["burnish refine a.jsonl --rounds 1    # exit code 3", "ls"]
    assert [expected(one) for one in found] == [3, 0]
