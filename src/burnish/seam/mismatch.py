"""The verb `seam mismatch`: how often a reward model misjudges a policy's own answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from burnish.algorithms.mismatch import PromptMismatch, misjudged, mismatch_rate, rank_correlation
from burnish.algorithms.rewards import accuracy_of
from burnish.algorithms.seam import SHOWN, Variant
from burnish.annotators import build
from burnish.config import AnnotatorSettings, DataConfig, Decoding, Execution, ModelConfig, WantedModel
from burnish.config.reading import checked
from burnish.errors import ConfigError
from burnish.inputs.context import RunContext
from burnish.perturbations import Checker
from burnish.protocols import Backend, Score
from burnish.results import Metric
from burnish.rewards.pairs import LeftOutPair, read_pairs
from burnish.rewards.trained_prompts import unseen
from burnish.rewards.verbs import identity_of, preference_rows
from burnish.seam.mismatch_page import render
from burnish.seam.mismatch_report import MismatchReport, PolicyMismatch
from burnish.seam.prompts import Prompts, as_rows, read_prompts, unseen_prompts
from burnish.seam.samples import checked_samples, reward_of
from burnish.seam.scoring import REWARD, context_of
from burnish.seam.table import read_table
from burnish.steps.artifacts import Rows, read_comparisons, read_preferences, read_samples, read_scores
from burnish.steps.basic import Steps
from burnish.steps.judging import judge
from burnish.steps.mismatch import answers_to_reward, pairs_of_samples
from burnish.steps.rewarding import cut_pairs, reward, rewarded_pairs, tested_rows
from burnish.store.files import pretty, write_atomic
from burnish.store.json_rows import dump_line
from burnish.tasks.own import TextAnswers
from burnish.types import Artifact, Demonstration, DemonstrationSource, Head, Verdict

PROMPTS_FILE, RESULTS_FILE, REPORT_FILE = FILES = ("prompts.jsonl", "mismatch.json", "report.html")
"""The files in the folder of `burnish seam mismatch`, in the order in which they are written."""
ANNOTATOR = "annotator"
"""The config field of the annotator that says which answer is better."""
_DECODING = TypeAdapter(Decoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class MismatchOptions:
    """What `burnish seam mismatch` computes.

    Each of the `policies` answers each prompt `samples` times. Either a `checker` or an `annotator` says which answer
    is better. An annotator compares at most `pairs_a_prompt` pairs of each prompt. `off_policy` is a file of pairs, and
    `against` a table of SEAM scores. `data` says what becomes of rows that cannot be used, also of those of the file.
    """

    data: DataConfig
    policies: tuple[ModelConfig, ...]
    reward: ModelConfig
    checker: Checker | None = None
    annotator: AnnotatorSettings | None = None
    samples: int = 8
    temperature: float = 1.0
    max_new_tokens: int = 256
    pairs_a_prompt: int = 4
    off_policy: Path | None = None
    against: Path | None = None
    limit: int | None = None
    seed: int = 0
    execution: Execution = field(default_factory=Execution)

    @property
    def decode(self) -> Decoding:
        """How the policies answer. Raises ConfigError, which names the field, for a value that cannot be used."""
        values = {"beams": 1, "temperature": self.temperature, "max_new_tokens": self.max_new_tokens}
        return checked(_DECODING, values, "the policy's answers")


def mismatch(
    options: MismatchOptions, store: Path, out: Path | None = None, own_backend: Callable[[], Backend] | None = None
) -> MismatchReport:
    """Let each policy answer, find which answers are better, and count what the reward model misjudges.

    With `out`, the report and a line for each policy and prompt are written. Finished work is kept in the store, so
    that the same call continues after a kill. Raises ConfigError for a setting that cannot be used, DataError for a row
    that cannot be used, Paused if people have to judge first, and BackendError if a library is missing.
    """
    _ = options.decode  # a wrong value is found before anything is read
    if (options.checker is None) == (options.annotator is None):
        raise ConfigError("--checker: name a checker, or an annotator with --annotator; one of them and not both")
    if out is None and options.annotator is not None and any(one.asks_people for one in options.annotator.members):
        raise ConfigError("--out: it is missing; name the folder in which people find the pairs that they judge")
    given = read_prompts(options.data, options.limit, options.seed)
    prompts = unseen_prompts(given, options.reward, options.data.source)
    context = context_of(_wanted(options), options.policies[0], options.execution, store, own_backend, out or Path())
    steps = Steps(context.executor(), context.engines, TextAnswers(), "text", options.seed)
    rows, model = as_rows(steps, prompts), context.model(steps, REWARD)
    scores = {} if options.against is None else _scores(options.against)
    reports: list[PolicyMismatch] = []
    lines: list[bytes] = []
    marks: dict[str, list[tuple[float, float]]] = {}
    for number, policy in enumerate(options.policies):
        work = _Measuring(options=options, context=context, steps=steps, rows=rows, model=model)
        report, found = work.of(context.model(steps, _policy_field(number)), policy.source, prompts, scores)
        reports.append(report)
        lines += [dump_line({"policy": policy.source, "id": p.id, "pairs": p.pairs, "mismatch": p.rate}) for p in found]
        marks[policy.source] = _both(found, scores, Variant.SEAM)
    accuracy, left_out = (None, {}) if options.off_policy is None else _off_policy(steps, model, options)
    report = MismatchReport(
        reward=options.reward.source,
        prompts=len(prompts.examples),
        trained_on=prompts.trained_on,
        bad_rows=prompts.bad_rows,
        truth=_truth_words(options),
        policies=reports,
        off_policy_accuracy=accuracy,
        off_policy_left_out=left_out,
    )
    if out is not None:
        write_atomic(out / PROMPTS_FILE, b"".join(lines))
        write_atomic(out / RESULTS_FILE, pretty(report.model_dump(mode="json")))
        write_atomic(out / REPORT_FILE, render(report, marks).encode("utf-8", errors="backslashreplace"))
    return report


def _policy_field(number: int) -> str:
    return f"policy.{number}"


def _wanted(options: MismatchOptions) -> list[WantedModel]:
    policies = [WantedModel(_policy_field(n), model, as_it_is=True) for n, model in enumerate(options.policies)]
    annotator = () if options.annotator is None else options.annotator.models(ANNOTATOR, simulated=False)
    return [*policies, WantedModel(REWARD, options.reward, Head.REWARD, as_it_is=True), *annotator]


def _truth_words(options: MismatchOptions) -> str:
    if options.checker is not None:
        return f"the checker {options.checker.kind}"
    assert options.annotator is not None
    return options.annotator.words(lambda model: model.source)


def _scores(table: Path) -> dict[str, Mapping[str, float | None]]:
    """Return {id of a prompt: its score by variant} of a table."""
    return {str(row.id): {str(variant): row.score.values[variant] for variant in SHOWN} for row in read_table(table)}


def _off_policy(steps: Steps, model: Artifact, options: MismatchOptions) -> tuple[Metric, dict[str, int]]:
    """Return the reward model's accuracy on the pairs of a file, and how many pairs were left out, by reason."""
    assert options.off_policy is not None
    given = unseen(read_pairs(options.off_policy, options.data.on_bad_row == "skip"), options.reward)
    cut = cut_pairs(steps, preference_rows(given.pairs), identity_of(given), 1.0)
    tested, missing = rewarded_pairs(cut, reward(steps, model, tested_rows(cut), "of the pairs of the file"))
    counts = Counter(given.left_out) + Counter({str(LeftOutPair.TOO_LONG): missing})
    return Metric.of(accuracy_of(tested)), dict(sorted(counts.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measuring:
    """What is needed to measure one policy."""

    options: MismatchOptions
    context: RunContext
    steps: Steps
    rows: Rows
    model: Artifact

    def of(
        self, policy: Artifact, name: str, prompts: Prompts, scores: Mapping[str, Mapping[str, float | None]]
    ) -> tuple[PolicyMismatch, list[PromptMismatch]]:
        """Return the report on a policy, and the counts of each prompt."""
        options, steps, source = self.options, self.steps, DemonstrationSource.PROPOSAL
        answers = steps.answer(policy, self.rows, options.decode, "mismatch", source, samples=options.samples)
        rewarded = read_scores(
            reward(steps, self.model, answers_to_reward(steps, self.rows, answers), "of the samples")
        )
        samples = read_samples(answers)
        undecided, no_gold, right = 0, 0, None
        if options.checker is not None:
            found, right = checked_samples(options.checker, prompts.examples, samples, rewarded)
            no_gold = len(prompts.examples) - len(found)
        else:
            found, undecided = self._compared(answers, samples, rewarded)
        drawn = [one for some in samples.values() for one in some]
        report = PolicyMismatch(
            policy=name,
            samples=len(drawn),
            unfinished=sum(not one.finished for one in drawn),
            without_reward=sum(
                one.finished and reward_of(one, samples[one.example_id], rewarded) is None for one in drawn
            ),
            no_gold=no_gold,
            right=right,
            pairs=sum(one.pairs for one in found),
            undecided=undecided,
            mismatch=Metric.of(mismatch_rate(found)),
            correlation=_correlations(found, scores),
        )
        return report, found

    def _compared(
        self, answers: Artifact, samples: Mapping[str, Sequence[Demonstration]], rewarded: Mapping[str, Score]
    ) -> tuple[list[PromptMismatch], int]:
        """Let the annotator compare pairs of samples, and count how often the reward model contradicts it."""
        assert self.options.annotator is not None
        plan = build(self.options.annotator, self.context.resources(self.steps, ANNOTATOR))
        compared = pairs_of_samples(self.steps, self.rows, answers, self.options.pairs_a_prompt)
        preferences = read_preferences(Path(judge(self.steps, plan, self.rows, compared, "pairs of samples").path))
        pairs: dict[str, list[tuple[float, float]]] = {id_: [] for id_ in samples}
        undecided = 0
        for comparison in read_comparisons(compared):
            drawn = samples[comparison.example_id]
            a, b = (reward_of(one, drawn, rewarded) for one in (comparison.a, comparison.b))
            verdict = preferences[comparison.id].verdict
            if verdict not in (Verdict.A, Verdict.B):
                undecided += 1
            elif a is not None and b is not None:
                pairs[comparison.example_id].append((a, b) if verdict is Verdict.A else (b, a))
        return [misjudged(id_, some) for id_, some in pairs.items()], undecided


def _both(
    found: Sequence[PromptMismatch], scores: Mapping[str, Mapping[str, float | None]], variant: Variant
) -> list[tuple[float, float]]:
    """Return (score, mismatch rate) of the prompts that have both."""
    return [
        (value, one.rate)
        for one in found
        if one.rate is not None and (value := scores.get(one.id, {}).get(variant)) is not None
    ]


def _correlations(
    found: Sequence[PromptMismatch], scores: Mapping[str, Mapping[str, float | None]]
) -> dict[str, Metric]:
    """Return the rank correlation of each variant of SEAM with the mismatch rate, over prompts that have both."""
    if not scores:
        return {}
    correlations: dict[str, Metric] = {}
    for variant in SHOWN:
        both = _both(found, scores, variant)
        interval = rank_correlation([value for value, _ in both], [rate for _, rate in both])
        correlations[str(variant)] = Metric.of(interval) if interval else Metric(value=None, n=len(both), ci95=None)
    return correlations
