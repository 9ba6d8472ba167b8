"""How long do people wait for the pages of a study? Many people answer at a steady pace.

    python benchmarks/study_load.py --out docs/results/study-load.json

Each person sends an answer every `--every` seconds and then reads the next question. The result has the times of all
requests after everybody has come, and the load of the machine, without which they cannot be read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
from study_clients import Person, Server, load_average, made_study


async def works(person: Person, every: float, end: float, wait: float) -> None:
    """Let a person answer at a steady pace until a time."""
    await asyncio.sleep(wait)
    while time.monotonic() < end and person.token is not None:
        begin = time.monotonic()
        await person.answer()
        await asyncio.sleep(max(0.0, begin + every - time.monotonic()))


def spread(times: list[float]) -> dict[str, float | int]:
    """Return quantiles of times, in milliseconds."""
    ordered = sorted(times)

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)], 1)

    return {"count": len(ordered), "p50_ms": at(0.5), "p99_ms": at(0.99), "largest_ms": at(1.0)}


async def measured(folder: Path, clients: int, seconds: float, every: float) -> dict[str, Any]:
    """Run the whole benchmark in a folder."""
    server = Server(made_study(folder, clients, math.ceil(seconds / every) + 2))
    server.start()
    people = [
        Person(name, httpx2.AsyncClient(base_url=server.address, timeout=30, trust_env=False))
        for name in (f"person-{number}" for number in range(clients))
    ]
    chance = random.Random(0)
    try:
        for person in people:
            await person.come()
            person.took = {"GET": [], "POST": []}
            person.statuses = []
        before = load_average()
        end = time.monotonic() + seconds
        await asyncio.gather(*(works(person, every, end, chance.uniform(0, every)) for person in people))
    finally:
        server.end(signal.SIGTERM)
        for person in people:
            await person.client.aclose()
    statuses = [status for person in people for status in person.statuses]
    return {
        "clients": clients,
        "seconds": seconds,
        "seconds_between_answers": every,
        "GET": spread([took for person in people for took in person.took["GET"]]),
        "POST": spread([took for person in people for took in person.took["POST"]]),
        "statuses_5xx": sum(status >= 500 for status in statuses),
        "statuses_429": sum(status == 429 for status in statuses),
        "load_average_before": before,
        "load_average_after": load_average(),
        "cpus": os.cpu_count(),
    }


def main() -> None:
    """Read the arguments, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--every", type=float, default=10)
    parser.add_argument("--folder", type=Path, help="a folder on the disk that is meant [default: a temporary one]")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = asyncio.run(measured(Path(folder), arguments.clients, arguments.seconds, arguments.every))
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
