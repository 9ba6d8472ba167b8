"""Parts of a stage, which several workers compute at the same time. The stage itself puts them together.

Each part is a stage with an identity of its own. The identity of the whole stage does not depend on its parts, and
neither does its result: it takes the rows of finished parts, and computes what is missing.
"""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from pathlib import Path

from burnish.config.executors import PART
from burnish.store.files import explained_write_errors, unique
from burnish.store.finished import Done
from burnish.store.shards import Shard
from burnish.store.stages import Division, Stage, Store, Work
from burnish.types import Artifact


def divided(stage: Stage, count: int) -> list[Stage]:
    """Return the parts of a stage. There are none if it cannot be cut."""
    division = stage.division
    if division is None or count < 2:
        return []
    # The version and all settings of the stage are in its fingerprint.
    return [
        replace(
            stage,
            name=stage.name + PART,
            version=1,
            config={"whole": stage.fingerprint, "part": number + 1, "of": count},
            run=functools.partial(_run, division, Shard(number=number, count=count)),
            label=f"{stage.label}, part {number + 1} of {count}",
            division=None,
        )
        for number in range(count)
    ]


def _run(division: Division, part: Shard, work: Work) -> None:
    division.run(work, part)
    # A part without a batch has a file, too.
    (work.path / division.file).touch()


def take_parts(store: Store, stage: Stage, work: Work) -> None:
    """Begin the work of a stage with the rows of its finished parts, unless a killed run has left as many.

    Parts that come after an unfinished one are left alone, because the rows must have the order of the whole stage.
    """
    if stage.division is None:
        return
    parts: list[Done] = []
    for artifact in stage.after:
        if artifact.kind == stage.name + PART:
            done = _whole(store, artifact)
            if done is None:
                break
            parts.append(done)
    files = [part.path / stage.division.file for part in parts]
    path = work.path / stage.division.file
    if sum(file.stat().st_size for file in files) <= (path.stat().st_size if path.is_file() else 0):
        return
    work.restart(parts)
    with explained_write_errors(path):
        joined = path.with_name(f"{path.name}.{unique()}")
        with joined.open("wb") as out:
            for file in files:
                with file.open("rb") as lines:
                    shutil.copyfileobj(lines, out)
        joined.replace(path)


def _whole(store: Store, artifact: Artifact) -> Done | None:
    """Return a finished part whose files are undamaged."""
    done = store.done(artifact.kind, artifact.fingerprint)
    if done is None:
        return None
    store.fetch(Path(artifact.path))
    return done if store.damage(done) is None else None
