"""The report's sentences, made from the results: the headline, what the paper reports, and what was found here."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from burnish.config import AnnotatorSettings, MethodRole
from burnish.config.base import ON_RECORD
from burnish.config.judge import ReferenceJudge
from burnish.report import policies
from burnish.report.drawing import Drawing
from burnish.report.series import (
    Contrast,
    Method,
    Point,
    Relation,
    by_wins,
    contrast,
    curve,
    effects_of,
    main_metric,
    methods,
    point,
    setting,
    with_role,
)
from burnish.report.text import NBSP, percent, plural, signed_points
from burnish.results import REFERENCE_WIN_RATE, Results
from burnish.types import Effect

REFEREE: TypeAdapter[AnnotatorSettings] = TypeAdapter(ReferenceJudge)

PAPER = {
    "supervisor-student-ceiling": "a model finetuned on a weak supervisor's demonstrations beats the supervisor, "
    "but falls short of the same model finetuned on gold labels (figure 2).",
    "test-accuracy": "refining the labels keeps improving on SFT over the rounds, where preference optimisation "
    "with the same feedback hardly helps (figure 4).",
    "without-feedback": "replacing labels by the model's own proposals without feedback makes the model worse; "
    "it is the comparisons that help (figure 9).",
    "label-accuracy": "the labels get more accurate from round to round, and with good feedback come close to "
    "the model trained on gold labels (figure 5).",
    "annotator-accuracy": "comparisons that are often wrong still guide the refinement well "
    "(section 5.2; no figure shows their accuracy).",
    "changes": "no figure shows which changes were for the better (figure 5 shows the accuracy of the labels alone).",
    "overoptimisation": "preference optimisation with unreliable comparisons overoptimises: the annotator's win rate "
    "keeps rising while true accuracy does not (section 4.1; no figure shows it in this way).",
    "preference-training": "no figure shows how preference training goes.",
    "reference-win-rate": "on safe instruction following, refinement raises the win rate against reference answers "
    "over the rounds, where preference optimisation hardly does (figure 4).",
    "refusal-rate": "reports only win rates on this task; no figure shows which prompts are refused.",
    "over-refusal-rate": "reports only win rates on this task; no figure shows which prompts are refused.",
    **policies.PAPER,
}
"""What the paper (arXiv 2501.07886) reports for each figure."""
OF_PICTURES = {
    "changes": "Means over seeds; the gold answers decide what is right.",
    "overoptimisation": "Means over seeds; bars are 95 % intervals.",
    "preference-training": "One seed.",
    **dict.fromkeys(policies.PAPER, "One seed."),
}
"""What the figures without points are taken over."""
OF_REFUSALS = {"test-accuracy", "label-accuracy", "annotator-accuracy"}
"""The figures that show, for instructions, who refuses where one should. The paper's accuracies mean something else."""


def paper_reports(results: Results, name: str) -> str:
    """Return what the paper reports for the figure `name`."""
    return PAPER["refusal-rate" if by_wins(results) and name in OF_REFUSALS else name]


def headline(results: Results) -> list[str]:
    """Return the result in a few sentences. They say plainly what did not win and what is not clear."""
    sft = with_role(results, MethodRole.SFT)
    # The paper's methods make the headline. Others do only where the paper's were not run.
    papers = with_role(results, MethodRole.ILR, MethodRole.DPO)
    refined = papers or with_role(results, MethodRole.OTHER, MethodRole.NAIVE)
    metric = main_metric(results)
    measured = [method for method in refined if point(results, method, metric) is not None]
    if measured and sft:
        # Name at most three methods, so that the headline stays short. The table has all of them.
        sentences = [text for method in measured[:3] for text in _against(results, method, sft[0])]
    else:
        sentences = [_alone(results, method) for method in methods(results)]
    ceiling = next(iter(with_role(results, MethodRole.CEILING)), None)
    at = point(results, ceiling, metric) if ceiling else None
    if at is not None and measured:
        sentences.append(f"Trained on gold labels, the same model reaches {percent(at.value)}.")
    if by_wins(results):
        sentences.append(f"The judge is {judge_words(results)}.")
    return [text for text in sentences if text] or ["No test accuracy was measured."]


def _alone(results: Results, method: Method) -> str:
    """Say what a method reaches, without a comparison."""
    at = point(results, method, main_metric(results))
    return f"{_sentence_start(method)} {_does(results, at)}." if at else ""


def _does(results: Results, at: Point) -> str:
    """Say what a method reaches, as the end of a sentence."""
    if by_wins(results):
        return f"wins {percent(at.value)} of {_prompts([at])} against the reference"
    return f"answers {percent(at.value)} of {_prompts([at])} right"


def _against(results: Results, method: Method, base: Method) -> list[str]:
    """Compare a method with its base in one or two sentences."""
    metric = main_metric(results)
    at, at_base = point(results, method, metric), point(results, base, metric)
    comparison = contrast(results, method, base, metric)
    if at is None or at_base is None or comparison is None:
        return []
    reaches = percent(at_base.value)
    other = f"where {base.label} wins {reaches}" if by_wins(results) else f"against {reaches} for {base.label}"
    first = f"After {plural(at.round, 'round')}, {_subject(method)} {_does(results, at)}, {other}"
    return [f"{first} ({_difference(comparison, at)}).", _reading(method, base, comparison)]


def _difference(comparison: Contrast, at: Point) -> str:
    """Write the difference, its interval and the number of seeds."""
    interval = "no paired interval, "
    if comparison.paired is not None and comparison.paired.ci95 is not None:
        low, high = comparison.paired.ci95
        interval = f"95{NBSP}% interval {signed_points(low)} to {signed_points(high)}, "
    seeds = comparison.paired.seeds if comparison.paired else at.seeds
    return f"difference {signed_points(comparison.difference)} points, {interval}{plural(seeds, 'seed')}"


def _reading(method: Method, base: Method, comparison: Contrast) -> str:
    """Say what the difference does not show. A clear gain needs no further words."""
    match comparison.relation:
        case Relation.ABOVE:
            return ""
        case Relation.BELOW:
            return f"{_sentence_start(method)} did worse than {base.label} here."
        case Relation.UNCLEAR if comparison.paired is not None:
            return f"The interval includes zero: this run does not tell {_subject(method)} from {base.label}."
        case Relation.UNCLEAR:
            return f"No paired interval excludes zero: this run does not tell {_subject(method)} from {base.label}."


# Only these names are phrases of our own, which take a capital at the start of a sentence.
_SUBJECTS = {"weak": "the weak supervisor", "ceiling": "the ceiling", "naive": "naive replacement"}


def _subject(method: Method) -> str:
    """Return the method as the subject of a sentence."""
    return _SUBJECTS.get(method.name, method.label)


def _sentence_start(method: Method) -> str:
    """Return the method for the start of a sentence, with a capital. A user's own name stays as it is."""
    subject = _subject(method)
    return subject[0].upper() + subject[1:] if method.name in _SUBJECTS else subject


def found_here(results: Results, name: str) -> str:
    """Return what these results say about the claim of the figure `name`."""
    sentences = {
        "supervisor-student-ceiling": _student,
        "test-accuracy": _improvement,
        "without-feedback": _feedback,
        "label-accuracy": _labels,
        "annotator-accuracy": _annotator,
        "changes": _changes,
        "overoptimisation": _win_rates,
        "preference-training": _training,
        "reference-win-rate": _reference_wins,
        "refusal-rate": _refusals,
        "over-refusal-rate": _over_refusals,
        **policies.FOUND,
    }[name](results)
    return " ".join(sentences) or "not measured."


def _student(results: Results) -> list[str]:
    """Compare SFT with the supervisor and the ceiling."""
    base = with_role(results, MethodRole.SFT)
    others = with_role(results, MethodRole.WEAK, MethodRole.CEILING)
    return [_stands(results, base[0], other, main_metric(results)) for other in others] if base else []


def _improvement(results: Results) -> list[str]:
    """Compare each method that has rounds with SFT."""
    base = with_role(results, MethodRole.SFT)
    # Naive replacement has a figure of its own.
    feeding = with_role(results, MethodRole.ILR, MethodRole.DPO, MethodRole.OTHER)
    moving = [method for method in feeding if method.last_round > 0]
    return [_stands(results, method, base[0]) for method in moving] if base else []


def _feedback(results: Results) -> list[str]:
    """Compare naive replacement with SFT, and ILR with naive replacement."""
    naive, base, ilr = (with_role(results, role) for role in (MethodRole.NAIVE, MethodRole.SFT, MethodRole.ILR))
    sentences = [_stands(results, method, base[0]) for method in naive] if base else []
    return sentences + ([_stands(results, ilr[0], naive[0])] if ilr and naive else [])


def _reference_wins(results: Results) -> list[str]:
    """Compare each method that has rounds with SFT by win rate against references."""
    base = with_role(results, MethodRole.SFT)
    moving = [method for method in methods(results) if method.last_round > 0]
    sentences = [_stands(results, method, base[0], REFERENCE_WIN_RATE) for method in moving] if base else []
    return [*sentences, f"The judge is {judge_words(results)}."]


def judge_words(results: Results) -> str:
    """Say who judged win rates against references. Return "" if nobody did."""
    judge = setting(results, "judge")
    return REFEREE.validate_python(judge, context=ON_RECORD).referee_words() if isinstance(judge, dict) else ""


def _refusals(results: Results) -> list[str]:
    """Say how many unsafe prompts each method refuses."""
    return _journeys(results, "refusal_rate", "unsafe prompts refused")


def _over_refusals(results: Results) -> list[str]:
    """Say how many safe prompts each method refuses."""
    return _journeys(results, "over_refusal_rate", "safe prompts refused")


def _stands(results: Results, a: Method, b: Method, metric: str = "test_accuracy") -> str:
    """Say how method a compares with method b in a metric, with both values."""
    at_a, at_b, comparison = point(results, a, metric), point(results, b, metric), contrast(results, a, b, metric)
    if at_a is None or at_b is None or comparison is None:
        return ""
    words = {
        Relation.ABOVE: "is above",
        Relation.BELOW: "is below",
        Relation.UNCLEAR: "is not clearly different from",
    }[comparison.relation]
    return f"{_sentence_start(a)} ({percent(at_a.value)}) {words} {_subject(b)} ({percent(at_b.value)})."


def _labels(results: Results) -> list[str]:
    """Say how accurate the labels are over the rounds."""
    # DPO leaves the labels as they are.
    moving = [method for method in methods(results) if method.role is not MethodRole.DPO]
    return _journeys(results, "label_accuracy", "label accuracy", moving)


def _annotator(results: Results) -> list[str]:
    """Say how accurate the annotator is over the rounds."""
    sentences = _journeys(results, "annotator_accuracy", "annotator accuracy")
    return [*sentences, "Pairs in which both sides are right, or neither, are left out."] if sentences else []


def _changes(results: Results) -> list[str]:
    """Say for the first and the last round of each method which share of its changes was for the better."""
    return [sentence for method in methods(results) for sentence in _changes_of(results, method)]


def _changes_of(results: Results, method: Method) -> list[str]:
    """Say what a method's changes did in its first and in its last round."""
    rounds = {number: counts for number, counts in effects_of(results, method).items() if any(counts.values())}
    ends = [(number, counts) for number, counts in rounds.items() if number in {min(rounds), max(rounds)}]
    return [
        f"{_sentence_start(method)}, round {number}: {percent(counts[Effect.WRONG_TO_RIGHT] / total)} of "
        f"{plural(total, 'change')} made a wrong label right."
        for number, counts in ends
        for total in [sum(counts.values())]
    ]


def _win_rates(results: Results) -> list[str]:
    """Say the win rate against SFT and the test accuracy over the rounds."""
    return [
        *_journeys(results, "win_rate", "win rate against SFT"),
        *_journeys(results, "test_accuracy", "test accuracy"),
    ]


def _training(results: Results) -> list[str]:
    """Say how the log-probabilities changed in preference training."""
    run = next(run for run in results.runs if run.curve)
    first, last = run.curve[0], run.curve[-1]
    return [
        f"Chosen answers went from {first.chosen_logp:.1f} to {last.chosen_logp:.1f} nats, rejected ones from "
        f"{first.rejected_logp:.1f} to {last.rejected_logp:.1f}, in {plural(last.step, 'step')}."
    ]


def _journeys(results: Results, metric: str, name: str, of: Sequence[Method] = ()) -> list[str]:
    """Say where a metric starts and where it ends, for each method that has rounds."""
    sentences: list[str] = []
    for method in of or methods(results):
        points = curve(results, method.name, metric)
        if method.last_round > 0 and points:
            # One round is said once and not as both start and end.
            ends = points[:1] if len(points) == 1 else (points[0], points[-1])
            stations = ", ".join(f"{percent(at.value)} in round {at.round}" for at in ends)
            sentences.append(f"{_sentence_start(method)}: {name} {stations}.")
    return sentences


def basis(drawing: Drawing, results: Results) -> str:
    """Say what the figure's points are taken over, and what its bars mean."""
    # Figures that are no curves over rounds hold no points, so nothing can be counted here.
    if not drawing.points:
        return OF_PICTURES[drawing.name]
    seeds = {at.seeds for at in drawing.points}
    items = {
        "label-accuracy": "training rows",
        "annotator-accuracy": "decisive pairs",
    }.get(drawing.name, "test prompts")
    over = f"{_range([at.n for at in drawing.points])} {items}"
    if not any(at.ci95 for at in drawing.points):
        bars = "no intervals are given"
    else:
        # A win rate is a mean of probabilities and not a count, so its interval is not Wilson's.
        won = drawing.name == "reference-win-rate" or (drawing.name.endswith("ceiling") and by_wins(results))
        one = "t-intervals" if won else "Wilson intervals"
        bars = f"bars are 95{NBSP}% " + (one if seeds == {1} else "t-intervals over the seeds")
    if seeds == {1}:
        return f"1 seed, {over}; {bars}."
    return f"Mean over {_range([(count, count) for count in seeds])} seeds, {over} each; {bars}."


def _range(counts: Sequence[tuple[int, int]]) -> str:
    """Write the lowest and the highest of several counts."""
    low, high = min(low for low, _ in counts), max(high for _, high in counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _prompts(points: Sequence[Point]) -> str:
    """Write the number of test prompts."""
    return f"{_range([at.n for at in points])} held-out test prompts"


def annotator_accuracy(results: Results) -> str:
    """Say how often the annotator was right over all rounds. Return "" if it was not measured."""
    cells = [
        (metric.value, metric.n)
        for run in results.runs
        if (metric := run.metrics.get("annotator_accuracy")) is not None and metric.value is not None
    ]
    total = sum(n for _, n in cells)
    if not total:
        return ""
    # Weight by the number of pairs: a round with few decisive pairs says little.
    share = sum(value * n for value, n in cells) / total
    return f"{percent(share)} of {total:,} decisive pairs, all rounds and seeds"
