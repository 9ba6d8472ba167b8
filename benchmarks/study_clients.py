"""What the benchmarks of a study share: a server in its own process, and people who answer through its pages."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from burnish.config.study import StudyKind
from burnish.people.study.folder import StudyFolder, new_study

HERE = {"sec-fetch-site": "same-origin"}
_ACTION = re.compile(r'<form method="post" action="/task/([^"]+)"')


def made_study(folder: Path, people: int, per_sitting: int) -> StudyFolder:
    """Make a study of comparisons without screening, with work for so many people."""
    rows = folder / "rows.jsonl"
    text = "A sentence of an answer, as long as those of people. " * 8
    items = [
        {"id": f"r{number}", "prompt": f"Question {number}?", "first": f"1 {text}", "second": f"2 {text}"}
        for number in range(per_sitting)
    ]
    rows.write_text("".join(json.dumps(item) + "\n" for item in items))
    settings = folder / "settings.yaml"
    settings.write_text(f"per_sitting: {per_sitting}\nwanted: {people}\nminutes: 1000\n")
    study = new_study(folder / "study", rows, StudyKind.COMPARISONS, settings)
    (study.path / "questions.yaml").write_text("")
    return study


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Server:
    """`burnish study serve` in its own process, always on the same port. With `speed`, it is `serve-simulated`."""

    study: StudyFolder
    speed: float | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """The address of the pages."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it says its links."""
        verb = ["serve"] if self.speed is None else ["serve-simulated", "--speed", str(self.speed)]
        words = ["study", *verb, str(self.study.path), "--port", str(self.port), "--admin-port", "0"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "burnish", *words], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if self.speed is not None:
            assert line.startswith("simulated: "), line
            line = self.process.stdout.readline()
        assert line.startswith("people: "), line

    def end(self, number: signal.Signals) -> None:
        """Send a signal, and wait until the process is gone."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass
class Person:
    """A person with a browser. Answers are acknowledged once their redirect has come."""

    name: str
    client: httpx2.AsyncClient
    token: str | None = None
    acknowledged: list[str] = field(default_factory=list[str])
    finished: bool = False
    took: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "POST": []})
    statuses: list[int] = field(default_factory=list[int])

    async def ask(self, method: str, path: str, data: Mapping[str, str] | None = None) -> httpx2.Response:
        """Send one request, and note how long it took."""
        begin = time.perf_counter()
        reply = await self.client.request(method, path, data=data, headers=HERE if method == "POST" else None)
        self.took[method].append(time.perf_counter() - begin)
        self.statuses.append(reply.status_code)
        return reply

    async def come(self) -> None:
        """Open the link and agree, or read the open question again after a lost connection."""
        if "study_session" in self.client.cookies:
            await self.look()
            if self.token is not None or self.finished:
                return
        await self.ask("GET", f"/start?participant={self.name}")
        if (await self.ask("GET", "/task")).status_code == 303:
            await self.ask("POST", "/consent", {})
        await self.look()

    async def look(self) -> None:
        """Read the open question."""
        reply = await self.ask("GET", "/task")
        found = _ACTION.search(reply.text)
        self.token = found[1] if found else None
        self.finished = reply.headers.get("location") == "/feedback"

    async def answer(self) -> None:
        """Send an answer to the open question, and read the next one."""
        assert self.token is not None
        reply = await self.ask("POST", f"/task/{self.token}", {"value": "2", "note": f"by {self.name}"})
        if reply.status_code == 303:
            self.acknowledged.append(self.token)
        await self.look()


def load_average() -> str:
    """Return the load of the machine, which says how far times can be believed."""
    return " ".join(f"{number:.1f}" for number in os.getloadavg())
