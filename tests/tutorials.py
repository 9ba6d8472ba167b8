"""Pages that run: fenced blocks become files and commands, and what a page shows is compared with what is printed.

- A block whose first line is `# NAME.py`, `.sh`, `.yaml` or the like is that file.
- ```sh: each command has to end with status 0, or with N where a comment says `# exit code N`. A block that begins with
  `# in another terminal` is left to the test.
- ```python without a file's name is run as a script.
- ```text shows all that the last block printed, on stdout and stderr; a line `...` stands for any lines. Hashes may
  differ, as they name folders and addresses. After ```text about, numbers may differ a little: training rounds
  differently on other processors. Words and the order of lines may not.

Another kind of block is an error, so that nothing on a page goes unchecked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([\w-]+\.(?:yaml|py|sh))\n")
STATUS = re.compile(r"#.*\bexit code (\d+)")
ELSEWHERE = "# in another terminal\n"
HASH = re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,64}\b")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
ABOUT = "about"
COUNT, SHARE = 6, 0.2
"""How far numbers may lie apart after `text about`: this many, or this share of the larger one."""
LIMIT_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; `line` is that of its fence, from 1."""

    kind: str
    note: str
    text: str
    line: int


class Page:
    """A page that is run in a folder. `replace` has what is written otherwise in the files of the page."""

    def __init__(self, path: Path, folder: Path, replace: Mapping[str, str]) -> None:
        self.path, self.folder, self.replace = path, folder, replace
        self.printed: str | None = None
        self.elsewhere: list[str] = []

    def run(self) -> int:
        """Run all blocks in order; returns how many blocks of output were compared."""
        compared = 0
        for block in blocks(self.path.read_text(encoding="utf-8")):
            where = f"{self.path.name}:{block.line}"
            if block.kind == "text":
                assert self.printed is not None, f"{where}: shows the output of no block"
                assert (found := difference(block.text, self.printed, block.note == ABOUT)) is None, f"{where}: {found}"
                self.printed = None
                compared += 1
            else:
                self._do(block, where)
        return compared

    def _do(self, block: Block, where: str) -> None:
        named = NAMED.match(block.text)
        if named:
            text = block.text
            for old, new in self.replace.items():
                text = text.replace(old, new)
            (self.folder / named[1]).write_text(text, encoding="utf-8")
        elif block.kind == "sh" and block.text.startswith(ELSEWHERE):
            self.elsewhere.append(block.text)
        elif block.kind == "sh":
            self.printed = "".join(self._ran(["bash", "-c", one], expected(one), where) for one in commands(block.text))
        elif block.kind == "python":
            script = self.folder / f"block_{block.line}.py"
            script.write_text(block.text, encoding="utf-8")
            self.printed = self._ran([sys.executable, str(script)], 0, where)
        else:
            raise AssertionError(f"{where}: a block of {block.kind or 'no kind'!r} is neither run nor compared")

    def _ran(self, command: Sequence[str], status: int, where: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
        printed = done.stdout.decode()
        assert done.returncode == status, (
            f"{where}: {command[-1]}\nended with {done.returncode}, not {status}:\n{printed}"
        )
        return printed


def environment() -> dict[str, str]:
    """Return the environment of the commands: this interpreter's first on the path, and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BURNISH_", "OPENAI_", "COV_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**kept, "PATH": path, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page. Fences stand at the beginning of a line."""
    assert page.count("```") == 2 * len(FENCE.findall(page)), "a fence is not closed, indented or of an unknown form"
    for match in FENCE.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        yield Block(kind=match[1], note=match[2] or "", text=match[3], line=line)


def commands(text: str) -> list[str]:
    """Return the commands of a shell block; a backslash at its end joins a line with the next one."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def expected(command: str) -> int:
    """Return the status that a command's comment promises, 0 without one."""
    found = STATUS.search(command)
    return int(found[1]) if found else 0


def difference(shown: str, printed: str, about: bool) -> str | None:
    """Say where a page's block departs from what was printed, None where it does not."""
    rest = printed.replace("\ufeff", "").rstrip("\n").splitlines()  # CSV files begin with a mark
    anchored = True
    parts = re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)
    for number, part in enumerate(parts):
        wanted = part.splitlines()
        last = number == len(parts) - 1
        places = [len(rest) - len(wanted)] if last and not anchored else range(1 if anchored else len(rest) + 1)
        if last and anchored and len(rest) != len(wanted):
            places = []
        place = next((at for at in places if at >= 0 and _fits(wanted, rest[at : at + len(wanted)], about)), None)
        if place is None:
            return f"the page shows\n{part}\nand what was printed there is\n" + "\n".join(rest)
        rest, anchored = rest[place + len(wanted) :], False
    return None


def _fits(wanted: Sequence[str], found: Sequence[str], about: bool) -> bool:
    return len(wanted) == len(found) and all(_alike(a, b, about) for a, b in zip(wanted, found, strict=True))


def _alike(wanted: str, found: str, about: bool) -> bool:
    wanted, found = (HASH.sub("#", " ".join(line.split())) for line in (wanted, found))
    if not about:
        return wanted == found
    if NUMBER.sub("0", wanted) != NUMBER.sub("0", found):
        return False
    return all(
        _near(float(a.replace(",", "")), float(b.replace(",", "")))
        for a, b in zip(NUMBER.findall(wanted), NUMBER.findall(found), strict=True)
    )


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= max(COUNT, SHARE * max(a, b))
