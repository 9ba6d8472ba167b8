"""The figures of reinforcement learning, and their sentences: rewards, KL, true accuracy and lengths over the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.report.drawing import Axis, Curve, Drawing, Mark, curves
from burnish.report.text import percent, plural
from burnish.results import Results, RlPoint, Run

PAPER = {
    "rl-reward": "no figure shows reinforcement learning; section 7 leaves it to future work.",
    "rl-accuracy": "no figure shows reinforcement learning; section 7 leaves it to future work.",
    "rl-length": "no figure shows reinforcement learning; section 7 leaves it to future work.",
}
"""What the paper reports for each of these figures."""
STOPPED = "stopped_at_kl"
"""The count that is 1 if a training stopped because its KL passed the bound."""


def _first(results: Results) -> Run | None:
    """Return the first run that was trained with reinforcement learning."""
    return next((run for run in results.runs if run.rl_curve), None)


def policy_training(results: Results) -> list[Drawing]:
    """Draw how the first training with reinforcement learning went."""
    run = _first(results)
    if run is None:
        return []
    where, step = f"{run.method}, round {run.round}, seed {run.seed}", Axis(label="step", whole=True)
    shares = [
        _curve("right answers", run, lambda point: _percent(point.accuracy)),
        _curve("answers that were cut", run, lambda point: 100 * point.unfinished),
        _curve("prompts with equal rewards", run, lambda point: 100 * point.flat),
    ]
    return [
        curves(
            "rl-reward",
            f"{where}: reward and KL",
            step,
            Axis(label="reward; KL in nats"),
            [
                _curve("reward", run, lambda point: point.reward),
                _curve("KL of an answer", run, lambda point: point.kl),
            ],
        ),
        curves("rl-accuracy", f"{where}: shares", step, Axis(label="%"), [one for one in shares if one.marks]),
        curves(
            "rl-length",
            f"{where}: length of answers",
            step,
            Axis(label="tokens"),
            [_curve("tokens", run, lambda point: point.length)],
        ),
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _curve(label: str, run: Run, value: Callable[[RlPoint], float | None]) -> Curve:
    found = ((point.step, value(point)) for point in run.rl_curve)
    return Curve(label=label, marks=tuple(Mark(x=step, y=y) for step, y in found if y is not None))


def rewards_found(results: Results) -> list[str]:
    """Say how reward and KL changed, and which trainings stopped at the bound of the KL."""
    run = _first(results)
    assert run is not None, "the figure has a run"
    first, last = run.rl_curve[0], run.rl_curve[-1]
    sentences = [f"In {plural(last.step, 'step')} the KL went from {first.kl:.2f} to {last.kl:.2f} nats an answer."]
    if first.reward is not None and last.reward is not None:
        sentences.insert(0, f"The reward went from {first.reward:.2f} to {last.reward:.2f}.")
    stopped = [one for one in results.runs if one.counts.get(STOPPED)]
    return sentences + [_stopped(one) for one in stopped]


def _stopped(run: Run) -> str:
    return (
        f"{run.method}, round {run.round}, seed {run.seed} stopped after {plural(run.counts['rl_steps'], 'step')}, "
        "because its KL passed the bound."
    )


def accuracy_found(results: Results) -> list[str]:
    """Say how the share of right answers and of cut answers changed."""
    run = _first(results)
    assert run is not None, "the figure has a run"
    first, last = run.rl_curve[0], run.rl_curve[-1]
    sentences: Sequence[str] = ()
    if first.accuracy is not None and last.accuracy is not None:
        sentences = (f"{percent(first.accuracy)} of the sampled answers were right, then {percent(last.accuracy)}.",)
    return [*sentences, f"{percent(first.unfinished)} of the answers were cut, then {percent(last.unfinished)}."]


def length_found(results: Results) -> list[str]:
    """Say how the length of the answers changed."""
    run = _first(results)
    assert run is not None, "the figure has a run"
    return [f"Answers had {run.rl_curve[0].length:.1f} tokens, then {run.rl_curve[-1].length:.1f}."]


FOUND = {"rl-reward": rewards_found, "rl-accuracy": accuracy_found, "rl-length": length_found}
"""What says what was found, for each of these figures."""
