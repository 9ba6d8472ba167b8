"""The clock of a study: that of the machine, or a fast one for simulated people.

A simulation of people who think for half a minute would take hours. It is served by a clock that runs faster. All times
that the server stores come from this clock. The study says for ever that its people are simulated.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, field

from burnish.errors import ConfigError, DataError
from burnish.people.study.sittings import note_event

SIMULATED = "simulated"
"""The kind of event that says that a study was served to simulated people."""
FASTEST = 1000.0
"""The fastest clock that can be asked for. One request takes a few milliseconds, and at this speed a few seconds."""


@dataclass(frozen=True, slots=True)
class FastClock:
    """A clock that shows `begin` when it is made, in seconds since 1970, and then runs `speed` times too fast."""

    begin: float
    speed: float
    made: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        """Return the time."""
        return self.begin + self.speed * (time.monotonic() - self.made)


def checked_speed(speed: float) -> float:
    """Return the speed of a clock. Raises ConfigError unless it is from 1 to `FASTEST`."""
    if not 1 <= speed <= FASTEST:
        raise ConfigError(f"--speed: {speed:g} is out of range; write a number from 1 to {FASTEST:g}")
    return speed


def simulated_clock(db: sqlite3.Connection, speed: float) -> FastClock:
    """Return the clock of a simulation, and note in the study that its people are simulated.

    The clock goes on after the last time that the study knows. Raises DataError if people came at real time.
    """
    if not is_simulated(db) and db.execute("SELECT frozen FROM study").fetchone()[0] is not None:
        raise DataError("people took part in this study at real time; make a new study for a simulation")
    clock = FastClock(begin=now_of(db), speed=speed)
    db.execute("BEGIN IMMEDIATE")
    note_event(db, clock(), SIMULATED, detail={"speed": speed})
    db.execute("COMMIT")
    return clock


def check_real(db: sqlite3.Connection) -> None:
    """Raise DataError if the people of a study are simulated: its times run ahead of those of the machine."""
    if is_simulated(db):
        raise DataError(
            "the people of this study are simulated; serve it with `burnish study serve-simulated`, or make a new study"
        )


def is_simulated(db: sqlite3.Connection) -> bool:
    """Say whether a study was served to simulated people."""
    return db.execute("SELECT 1 FROM event WHERE kind = ? LIMIT 1", (SIMULATED,)).fetchone() is not None


def speeds_of(db: sqlite3.Connection) -> list[float]:
    """Return the different speeds at which a study was served to simulated people."""
    rows = db.execute("SELECT detail FROM event WHERE kind = ?", (SIMULATED,)).fetchall()
    return sorted({float(json.loads(row["detail"])["speed"]) for row in rows})


def now_of(db: sqlite3.Connection) -> float:
    """Return the time of a study that is not served now: that of the machine, or the last one of a simulation."""
    if not is_simulated(db):
        return time.time()
    last = db.execute(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM event UNION ALL SELECT max(received) FROM answer "
        "UNION ALL SELECT max(first_shown) FROM assignment)"
    ).fetchone()[0]
    return max(time.time(), last)
