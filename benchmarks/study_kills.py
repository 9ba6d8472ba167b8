"""Is an acknowledged answer of a study ever lost? People answer while the server is killed again and again.

    python benchmarks/study_kills.py --out docs/results/study-kills.json

Each kill is a SIGKILL after a random number of answers since the start of the server. An answer counts as acknowledged
once its redirect has come. At the end, every acknowledged answer must be in the file, each question must have at most
one answer, and the file must be whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from study_clients import Person, Server, load_average, made_study

from burnish.people.study.folder import StudyFolder
from burnish.people.study.managing import broken_invariants

_BETWEEN = 1
"""How many answers of each person there are between two kills, on average."""


async def works(person: Person, ended: Callable[[], bool]) -> None:
    """Let a person answer until all is answered, or until the benchmark ends. A dead server is tried again."""
    while not person.finished and not ended():
        try:
            if person.token is None:
                await person.come()
            else:
                await person.answer()
        except httpx2.HTTPError:
            # Nothing says whether the answer was kept. After coming again, the person sees the open question.
            person.token = None
            await asyncio.sleep(0.1)


async def killed(server: Server, people: list[Person], kills: int, chance: random.Random) -> None:
    """Kill the server so often while people answer."""
    over = False
    tasks = [asyncio.create_task(works(person, lambda: over)) for person in people]
    for _ in range(kills):
        enough = _acknowledged(people) + chance.randint(1, 2 * _BETWEEN * len(people))
        while _acknowledged(people) < enough and not all(person.finished for person in people):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.end, signal.SIGKILL)
        await asyncio.to_thread(server.start)
    await asyncio.sleep(1.0)
    over = True
    await asyncio.gather(*tasks)


def _acknowledged(people: list[Person]) -> int:
    return sum(len(person.acknowledged) for person in people)


def found_in(study: StudyFolder, acknowledged: list[str]) -> dict[str, Any]:
    """Return what is in the file after all kills."""
    with study.opened_to_read() as db:
        kept = [row[0] for row in db.execute("SELECT token FROM answer JOIN assignment ON assignment.id = assignment")]
        return {
            "acknowledged": len(acknowledged),
            "lost": len(set(acknowledged) - set(kept)),
            "answers_in_the_file": len(kept),
            "questions_with_two_answers": len(kept) - len(set(kept)),
            "integrity_check": db.execute("PRAGMA integrity_check").fetchone()[0],
            "broken_invariants": broken_invariants(db),
        }


async def measured(folder: Path, kills: int, clients: int, seed: int) -> dict[str, Any]:
    """Run the whole benchmark in a folder."""
    study = made_study(folder, clients, 100)
    server = Server(study)
    server.start()
    limits = httpx2.Limits(max_connections=clients)
    people = [
        Person(name, httpx2.AsyncClient(base_url=server.address, timeout=30, limits=limits, trust_env=False))
        for name in (f"person-{number}" for number in range(clients))
    ]
    try:
        await killed(server, people, kills, random.Random(seed))
    finally:
        server.end(signal.SIGTERM)
        for person in people:
            await person.client.aclose()
    statuses = [status for person in people for status in person.statuses]
    found = found_in(study, [token for person in people for token in person.acknowledged])
    return {"kills": kills, "clients": clients, **found, "statuses_5xx": sum(status >= 500 for status in statuses)}


def main() -> None:
    """Read the arguments, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="a folder on the disk that is meant [default: a temporary one]")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = asyncio.run(measured(Path(folder), arguments.kills, arguments.clients, arguments.seed))
    text = json.dumps(result | {"load_average": load_average()}, indent=2) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
