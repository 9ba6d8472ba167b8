"""The verb `reward check`: is a reward model fit for a policy?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from burnish import __version__
from burnish.algorithms.mismatch import by_checker, mismatch_rate
from burnish.config import AdversarialSource, AnnotatorSettings, DataConfig, Execution, ModelConfig, expanded
from burnish.errors import ConfigError, DataError
from burnish.models import location
from burnish.perturbations import Checker
from burnish.report.facts import Fact
from burnish.report.page import environment
from burnish.report.tables import Cell, Table
from burnish.results import Metric
from burnish.rewards.report import RESULTS_FILE as TRAINED_FILE
from burnish.rewards.report import WORDS, RewardReport
from burnish.rewards.verbs import Workplace, measure
from burnish.seam.fitness import FITS, Check, CheckResult, FitReport, by_length, by_share, sentence, together
from burnish.seam.mismatch import MismatchOptions, mismatch
from burnish.seam.prompts import seen_words
from burnish.seam.scoring import ScoreOptions, compute
from burnish.store.files import pretty, write_atomic

MISMATCH, RESULTS_FILE, REPORT_FILE = FILES = ("mismatch", "check.json", "report.html")
"""The folder of the mismatch and the files of `burnish reward check`, in the order in which they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What `burnish reward check` measures.

    `pairs` is a file of pairs that the reward model was not trained on. Without one, the accuracy counts that
    `burnish reward train` measured. `prompts` and `policy` go together: the policy answers each prompt `samples` times,
    and a `checker` or an `annotator` says which answers are better. Each gold answer gets up to `edits` near misses.
    With `skip_bad`, pairs that cannot be used are left out and counted. For the rows of the prompts, `prompts` say it.
    """

    reward: ModelConfig
    pairs: Path | None = None
    prompts: DataConfig | None = None
    policy: ModelConfig | None = None
    checker: Checker | None = None
    annotator: AnnotatorSettings | None = None
    samples: int = 8
    edits: int = 4
    max_new_tokens: int = 256
    limit: int | None = None
    seed: int = 0
    skip_bad: bool = False
    execution: Execution = field(default_factory=Execution)


def check(options: CheckOptions, place: Workplace, out: Path | None = None) -> FitReport:
    """Measure what can be measured, and say whether the reward model is fit for the policy.

    Finished work is kept in the store, so that the same call continues after a kill. Raises ConfigError if nothing
    would be measured or for a setting that cannot be used, DataError for a row that cannot be used, Paused if people
    have to judge first, and BackendError if a library is missing.
    """
    if (options.prompts is None) != (options.policy is None):
        missing = "--prompts" if options.prompts is None else "--policy"
        raise ConfigError(f"{missing}: it is missing; name the prompts and the policy, or neither")
    if options.prompts is not None and (options.checker is None) == (options.annotator is None):
        raise ConfigError("--checker: name a checker, or an annotator with --annotator; one of them and not both")
    for flag, given in (("--checker", options.checker), ("--annotator", options.annotator)):
        if options.prompts is None and given is not None:
            raise ConfigError(f"{flag}: nothing is judged without --prompts and --policy; name them, or leave it out")
    tested = _tested(options, place)
    if tested is None and options.prompts is None:
        location.check(options.reward, "MODEL")
        raise ConfigError(
            f"--pairs: it is missing, and {options.reward.source!r} has no {TRAINED_FILE} with an accuracy; name "
            "pairs, or --prompts and --policy"
        )
    nothing = Metric(value=None, n=0, ci95=None)
    notes = [] if tested is None else [_left_out(why, number) for why, number in tested.left_out.items()]
    held_out = by_share(Check.HELD_OUT, nothing if tested is None else tested.accuracy)
    length = by_length(None, 0)
    if tested is not None:
        length = by_length(tested.length_correlation, tested.accuracy.n, tested.prompts)
    own, near = nothing, nothing
    if options.prompts is not None and options.policy is not None:
        own, of_own = _own_answers(options, options.prompts, options.policy, place, out)
        near, of_near = _near_misses(options, options.prompts, options.policy, place)
        notes += [f"the policy's own answers: {note}" for note in of_own] + [f"near misses: {note}" for note in of_near]
    checks = [held_out, by_share(Check.OWN_ANSWERS, own), by_share(Check.NEAR_MISSES, near), length]
    report = FitReport(
        reward=options.reward.source,
        policy=None if options.policy is None else options.policy.source,
        verdict=together(checks),
        checks=checks,
        notes=notes,
    )
    if out is not None:
        write_atomic(out / RESULTS_FILE, pretty(report.model_dump(mode="json")))
        write_atomic(out / REPORT_FILE, render(report).encode("utf-8", errors="backslashreplace"))
    return report


def _tested(options: CheckOptions, place: Workplace) -> RewardReport | None:
    """Return the report on held-out pairs: those of the file, or those of the reward model's training."""
    if options.pairs is not None:
        return measure(options.reward, options.pairs, place, skip_bad=options.skip_bad, execution=options.execution)
    path = Path(expanded(options.reward.source, "RM")) / TRAINED_FILE
    if not path.is_file():
        return None
    try:
        report = RewardReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "file"
        raise DataError(
            f"{path}: {field}: {first['msg']}; name pairs with --pairs, or run `burnish reward train` again"
        ) from None
    # Training can hold nothing out. Then there is nothing to read.
    return report if report.tested else None


def _left_out(why: str, number: int) -> str:
    return f"pairs left out: {number:,} {WORDS.get(why, why)}"


def _own_answers(
    options: CheckOptions, prompts: DataConfig, policy: ModelConfig, place: Workplace, out: Path | None
) -> tuple[Metric, list[str]]:
    """Return the share of pairs of the policy's own answers in which the reward model is right, and what was left
    out."""
    measured = mismatch(
        MismatchOptions(
            data=prompts,
            policies=(policy,),
            reward=options.reward,
            checker=options.checker,
            annotator=options.annotator,
            samples=options.samples,
            max_new_tokens=options.max_new_tokens,
            limit=options.limit,
            seed=options.seed,
            execution=options.execution,
        ),
        place.store,
        None if out is None else out / MISMATCH,
        place.own_backend,
    )
    seen = [seen_words(measured.trained_on)] if measured.trained_on else []
    return _complement(measured.policies[0].mismatch), [*seen, *measured.policies[0].left_out()]


def _near_misses(
    options: CheckOptions, prompts: DataConfig, policy: ModelConfig, place: Workplace
) -> tuple[Metric, list[str]]:
    """Return the share of near misses that are rewarded less than their gold answer, and what was left out.

    As everywhere, prompts that the reward model was trained on do not show what it is worth on others.
    """
    done = compute(
        ScoreOptions(
            data=prompts,
            policy=policy,
            reward=options.reward,
            source=AdversarialSource(kind="adversarial"),
            most=options.edits,
            checker=options.checker,
            limit=options.limit,
            seed=options.seed,
            execution=options.execution,
        ),
        place.store,
        place.own_backend,
    )
    found = [by_checker(str(row.id), [row.gold.reward], [one.reward for one in row.worse]) for row in done.rows]
    return _complement(Metric.of(mismatch_rate(found))), list(done.words())


def _complement(metric: Metric) -> Metric:
    """Return the share of right pairs from that of misjudged ones."""
    bounds = None if metric.ci95 is None else (1 - metric.ci95[1], 1 - metric.ci95[0])
    return Metric(value=None if metric.value is None else 1 - metric.value, n=metric.n, ci95=bounds)


def render(report: FitReport) -> str:
    """Return the page as HTML. Every string in it is escaped, because models and files may be called anything."""
    facts = [
        Fact("Reward model", report.reward),
        *([] if report.policy is None else [Fact("Policy", report.policy)]),
        Fact("Verdict", f"The reward model {FITS[report.verdict]} {'a' if report.policy is None else 'this'} policy."),
    ]
    return (
        environment()
        .get_template("check.html.j2")
        .render(
            name=report.reward,
            facts=facts,
            checks=_table(report.checks),
            notes=report.notes,
            burnish_version=__version__,
        )
    )


def _table(checks: list[CheckResult]) -> Table:
    rows = tuple(
        (Cell(one.check.replace("_", " ")), Cell(one.verdict.replace("_", " ")), Cell(sentence(one))) for one in checks
    )
    return Table(title="Checks", header=("check", "verdict", "what was found"), rows=rows, names=3)
