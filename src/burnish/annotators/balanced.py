"""Worse answers for training q~ in which refusals and acceptances are equally frequent (appendix B, SaferPaca).

Otherwise q~ could learn to say always "the refusal is worse". One supervisor learns only from general instructions and
follows every request. The other learns only from unsafe requests and refuses every request. Both answer every prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from burnish.errors import DataError
from burnish.steps.artifacts import PARTS, Rows
from burnish.steps.basic import Steps
from burnish.store.files import as_mapping, pretty, write_atomic
from burnish.store.stages import Work
from burnish.tasks.instruction_answers import CATEGORY, Category
from burnish.types import Artifact, Example, PairRow

BothOrders: TypeAlias = tuple[PairRow, PairRow]
"""A gold answer and a worse answer, in both orders."""
Pairs: TypeAlias = Mapping[tuple[str, str], BothOrders]
"""Pairs by (example id, text of the worse answer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """The pairs to learn from, and how many were kept and dropped.

    In `accepting` and `refusing` pairs, the worse answer came from only one supervisor. In `shared` pairs, both
    supervisors gave it. `surplus` is the number of dropped pairs. `one_sided` is the number of prompts for which only
    one supervisor gave worse answers.
    """

    pairs: Pairs
    accepting: int
    refusing: int
    shared: int
    surplus: int
    one_sided: int

    @property
    def counts(self) -> dict[str, int]:
        """Return {name: number} of all counts."""
        return {name: number for name, number in as_mapping(self).items() if name != "pairs"}


def by_category(steps: Steps, rows: Rows) -> Artifact:
    """Return the stage that divides rows into the parts "general" and "safety".

    Its work raises DataError as `parts_of` does.
    """

    def run(work: Work) -> None:
        parts = parts_of(rows.examples())
        write_atomic(work.path / PARTS, pretty({str(category): ids for category, ids in parts.items()}))
        work.count(rows=sum(len(ids) for ids in parts.values()))

    return steps.stage("by_category", rows.config, rows.inputs, run, "categories")


def parts_of(examples: Mapping[str, Example]) -> dict[Category, list[str]]:
    """Return the ids of each category. Raises DataError if a row has no category, or if a category has no row."""
    parts: dict[Category, list[str]] = {category: [] for category in Category}
    for id_, example in examples.items():
        value = example.metadata.get(CATEGORY)
        # A row without a category would have to go to one of the two supervisors, and would make it less one-sided.
        if value not in parts:
            raise DataError(
                f"supervision.annotator.pairs: 'balanced' found, but the category of example {id_} is {value!r}, not "
                "'general' or 'safety'; take task instructions, or write pairs: checkpoints"
            )
        parts[Category(value)].append(id_)
    for category, ids in parts.items():
        if not ids:
            raise DataError(
                f"supervision.annotator.pairs: 'balanced' found, but none of the {len(examples)} rows of half G is of "
                f"category '{category}'; use more rows of it, or write pairs: checkpoints"
            )
    return parts


def balance(accepting: Pairs, refusing: Pairs) -> Balanced:
    """Keep equally many accepting and refusing pairs for each prompt. The ids of the pairs decide which ones are kept.

    A worse answer that both supervisors gave is one pair and counts for both sides. If only one supervisor gave worse
    answers to a prompt, one of its pairs is kept. So every such prompt still has a pair, as in the paper, which drops
    nothing, and the balance changes as little as possible. Raises DataError if one supervisor has no pair at all.
    """
    # If one side has no pair at all, nothing can be balanced: at most one pair for each prompt would be left.
    for category, pairs in ((Category.GENERAL, accepting), (Category.SAFETY, refusing)):
        if not pairs:
            raise DataError(
                f"supervision.annotator.pairs: 'balanced' found, but the supervisor of category '{category}' gave no "
                "answer that differs from gold; raise decode.temperature of the annotator, or write pairs: checkpoints"
            )
    a, b = _by_example(accepting), _by_example(refusing)
    # Shared pairs count on both sides, so they do not disturb the balance. Of the others, both sides keep equally many.
    kept_a, kept_b = _kept(a, b), _kept(b, a)
    shared = {key: pair for key, pair in accepting.items() if key in refusing}
    pairs = {**kept_a, **kept_b, **shared}
    return Balanced(
        pairs=pairs,
        accepting=len(kept_a),
        refusing=len(kept_b),
        shared=len(shared),
        # The union counts a shared pair once, as `pairs` does.
        surplus=len(accepting.keys() | refusing.keys()) - len(pairs),
        one_sided=len(a.keys() ^ b.keys()),
    )


def _by_example(pairs: Pairs) -> dict[str, dict[str, BothOrders]]:
    grouped: defaultdict[str, dict[str, BothOrders]] = defaultdict(dict)
    for (example_id, text), pair in pairs.items():
        grouped[example_id][text] = pair
    return dict(grouped)


def _kept(
    own: Mapping[str, Mapping[str, BothOrders]], other: Mapping[str, Mapping[str, BothOrders]]
) -> dict[tuple[str, str], BothOrders]:
    """Return the pairs to keep from those that only the supervisor of `own` gave."""
    kept: dict[tuple[str, str], BothOrders] = {}
    for example_id, pairs in own.items():
        theirs = other.get(example_id, {})
        # The id is a hash, so sorting by it chooses without regard to the text, and always in the same way.
        alone = sorted(pairs.keys() - theirs.keys(), key=lambda text: pairs[text][0].id)
        number = min(len(alone), len(theirs.keys() - pairs.keys())) if theirs else 1
        kept |= {(example_id, text): pairs[text] for text in alone[:number]}
    return kept
