"""Which stage of a run is computed next if several can be computed at the same time.

The stages of a plan are a graph: the inputs of a stage are its edges. Nothing here starts a process or reads a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from burnish.store.course import PlannedStage, kinds_of

TYPICAL = {
    "train_classifier": 60.0,
    "train_policy": 60.0,
    "train_preferences": 20.0,
    "train_rewards": 20.0,
    "train": 10.0,
    "answer": 2.0,
    "judge": 2.0,
    "score": 1.0,
    "reward": 1.0,
}
"""How long stages of a name take, compared with each other, as long as nothing is known of this run. The committed
results of the embedded experiment and of SmolLM2 have about these ratios. Those of reward models and of RL are guesses:
the training of a reward model has as many passes as one on preferences, and no reference; that of RL samples its
rows."""
OTHERS = 0.05
"""The same for all other stages. They only read and write rows."""


class Agenda:
    """Says which stage is next: of those that can be computed, the one with the longest path of work behind it.

    A path is a chain of stages that need each other. The longest one bounds the time of the whole run, however many
    workers there are. How long a stage takes is estimated from finished stages of its kind, as in `Course`. At most one
    stage that asks `outside` (a server, people or a user's program) runs at a time. So each such stage finds all
    earlier calls in the ledger, and together they stay within the budget.
    """

    def __init__(self, stages: Iterable[PlannedStage], finished: AbstractSet[str]) -> None:
        """`stages` is a plan: each stage comes after the stages that it needs, and each fingerprint counts once. All
        stages that are not in `finished` have to be computed."""
        plan: dict[str, PlannedStage] = {}
        for stage in stages:
            plan.setdefault(stage.fingerprint, stage)
        self._stages = {key: stage for key, stage in plan.items() if key not in finished}
        # What is no stage of this run, such as the weights of a model, is not waited for.
        self._needs = {
            key: {need for need in stage.needs if need in self._stages} for key, stage in self._stages.items()
        }
        self._feeds: dict[str, list[str]] = {}
        for key, needs in self._needs.items():
            for need in needs:
                self._feeds.setdefault(need, []).append(key)
        # For each kind of stage: the sum of the seconds of its finished stages, and their number.
        self._seconds: dict[str, tuple[float, int]] = {}
        self._learned = 0
        self._paths: dict[str, float] | None = None
        for key, stage in plan.items():
            if key in finished:
                self._learn(stage, stage.seconds)
        self._waiting = dict.fromkeys(self._stages)
        self._aside: set[str] = set()
        self.running: dict[str, PlannedStage] = {}
        """The stages that are being computed, by their fingerprints."""

    @property
    def left(self) -> int:
        """The number of stages that are not finished."""
        return len(self._waiting) + len(self.running)

    def start_next(self) -> PlannedStage | None:
        """Return the stage that should start now, and count it as running. Return None if none can start."""
        asking = any(stage.outside for stage in self.running.values())
        ready = [key for key in self._waiting if not self._needs[key] and not (asking and self._stages[key].outside)]
        if not ready:
            # A graph of stages has no circle, because a fingerprint holds those of the inputs.
            assert self.running or not self._waiting or self._aside, list(self._waiting)
            return None
        self._paths = paths = self._paths or self._longest_paths()
        # `max` takes the first of several equal ones, which is the first one of the plan.
        chosen = max(ready, key=lambda key: paths[key])
        del self._waiting[chosen]
        self.running[chosen] = self._stages[chosen]
        return self._stages[chosen]

    def seconds_left(self, workers: int) -> float | None:
        """Estimate how long so many workers need for what is left, or return None if the time of a stage is not known.

        This is a lower bound of what they need: the longest path, or all work divided by the workers.
        """
        left = [*self._waiting, *self.running]
        means = [self._mean(self._stages[key]) for key in left]
        known = [mean for mean in means if mean is not None]
        if len(known) < len(left):
            return None
        # Cached paths may be a little older than the means, which hardly move any more.
        self._paths = paths = self._paths or self._longest_paths()
        return max([sum(known) / workers, *(paths[key] for key in left)], default=0.0)

    def _mean(self, stage: PlannedStage) -> float | None:
        """Return the mean seconds of finished stages of the same kind, or None if there are none."""
        found = next((self._seconds[kind] for kind in kinds_of(stage) if kind in self._seconds), None)
        return None if found is None else found[0] / found[1]

    def finish(self, fingerprint: str, seconds: float) -> None:
        """Record that a running stage is finished and how long it took."""
        self._learn(self.running.pop(fingerprint), seconds)
        for key in self._feeds.pop(fingerprint, ()):
            self._needs[key].discard(fingerprint)

    def give_back(self, fingerprint: str) -> None:
        """Let a running stage wait again, because its worker died."""
        del self.running[fingerprint]
        self._waiting[fingerprint] = None

    def set_aside(self, fingerprint: str) -> None:
        """Stop a running stage for good, with all stages that need it, because it waits for people."""
        del self.running[fingerprint]
        self._aside.add(fingerprint)

    def _learn(self, stage: PlannedStage, seconds: float) -> None:
        self._learned += 1
        new = any(kind not in self._seconds for kind in kinds_of(stage))
        for kind in kinds_of(stage):
            total, count = self._seconds.get(kind, (0.0, 0))
            self._seconds[kind] = total + seconds, count + 1
        # Paths are computed anew when a kind is new, and then ever more rarely, because the means move less and less.
        # At each stage it would take seconds where a run has thousands of stages.
        if new or (self._learned & (self._learned - 1)) == 0:
            self._paths = None

    def _longest_paths(self) -> dict[str, float]:
        """Return how many seconds the longest path takes that begins with each stage."""
        known = {name: total / count for name, (total, count) in self._seconds.items() if name in TYPICAL}
        # A larger model takes longer in all its stages, so what is known of some names scales the others.
        scale = sum(known.values()) / sum(TYPICAL[name] for name in known) if known else 1.0
        paths: dict[str, float] = {}
        behind: dict[str, float] = dict.fromkeys(self._stages, 0.0)
        # From the end of the plan: what needs a stage comes after it.
        for key in reversed(self._stages):
            stage = self._stages[key]
            mean = self._mean(stage)
            paths[key] = behind[key] + (TYPICAL.get(stage.name, OTHERS) * scale if mean is None else mean)
            for need in self._needs[key]:
                behind[need] = max(behind[need], paths[key])
        return paths
