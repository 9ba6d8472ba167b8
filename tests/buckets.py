"""A bucket in memory that several hosts use, each with a cache of its own, and a small stage that they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiment import Quiet
from obstore.store import MemoryStore

from burnish.store.bucket import Bucket
from burnish.store.object_store import ObjectStore
from burnish.store.runners import Executor
from burnish.store.stages import Stage, Store, Work
from burnish.types import Artifact


class Hosts:
    """Gives each host its view of one bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bucket = folder, Bucket(MemoryStore(), "memory://bucket/x")

    def __call__(self, name: str) -> ObjectStore:
        return ObjectStore(self.bucket, self.folder / name)

    def keys(self, prefix: str) -> list[str]:
        return sorted(self.bucket.listed(prefix))


def stage(
    calls: list[str], run_: Callable[[Work], None] | None = None, alpha: float = 0.1, **inputs: Artifact
) -> Stage:
    def write(work: Work) -> None:
        calls.append("run")
        (work.path / "sub").mkdir()
        (work.path / "sub" / "out.txt").write_text(f"{alpha}")
        (work.path / "model.safetensors").write_text("weights")
        work.count(rows=1)

    return Stage(name="train", version=1, config={"alpha": alpha}, inputs=inputs, run=run_ or write)


def compute(store: Store, one: Stage) -> tuple[Path, Quiet]:
    talk = Quiet()
    return Path(Executor(store, talk, {}).run(one).path), talk
