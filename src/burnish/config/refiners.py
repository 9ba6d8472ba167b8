"""The settings of other refiners: a gate alone, several sampled answers, and rows that are left out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from burnish.config.base import MOST_REPEATS, Name, PositiveFloat, Repeats, Share
from burnish.config.method_settings import METHODS, ComparingMethod, Gate, GatedMethod, MethodSettings

# With a single sample there would be no vote.
Votes: TypeAlias = Annotated[int, Field(ge=2, le=MOST_REPEATS, strict=True)]
"""How many answers are sampled that can disagree."""


@METHODS.add
class ClearMethod(ComparingMethod):
    """A confidence gate without cross-labelling (CLEAR, Chen & Mueller, arXiv 2403.12776).

    One model is trained on all rows and proposes answers for all of them. A proposal is accepted if the annotator is
    confident enough."""

    # `gate` is written for this method: it was there from the first version on, so recorded identities contain it.
    unwritten: ClassVar[frozenset[str]] = frozenset({"accept", "of"})
    refines: ClassVar[bool] = True
    cap_field: ClassVar[str | None] = "alpha"
    kind: Literal["clear"]
    name: Name = "clear"
    """The name of the method in results."""
    rounds: Repeats = 1
    """The number of rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round: the same cap for every method."""
    gate: Gate = 0.8
    """A proposal is accepted only if P(the proposal is better) is at least this."""


@METHODS.add
class MajorityMethod(GatedMethod):
    """The most frequent of several sampled answers is the proposal, and its share of the votes is the confidence
    (self-consistency, Wang et al., arXiv 2203.11171). No annotator is asked."""

    refines: ClassVar[bool] = True
    cap_field: ClassVar[str | None] = "alpha"
    kind: Literal["majority"]
    name: Name = "majority"
    """The name of the method in results."""
    rounds: Repeats = 2
    """The number of rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round."""
    samples: Votes = 8
    """The number of answers that are sampled for each prompt."""
    temperature: PositiveFloat = 0.7
    """The temperature at which answers are sampled."""

    @property
    def parts(self) -> int:
        """The two halves of cross-labelling."""
        return 2

    @property
    def samples_per_row(self) -> int:
        """How many answers are sampled for each prompt."""
        return self.samples


@METHODS.add
class TournamentMethod(ComparingMethod):
    """The annotator's tournament among the label and several sampled answers (section 7, future work).

    The answers that differ from the label compete first, the most frequent one first. The winner then meets the label.
    A row whose label is the most frequent answer has no tournament, so with `comparisons: 1` it is ILR with a vote.
    `budget` limits the comparisons of a round as it does for ILR, and each comparison of a tournament counts."""

    # A refinement's folder has one comparison for each row and round; a tournament has several.
    refines: ClassVar[bool] = False
    cap_field: ClassVar[str | None] = "alpha"
    kind: Literal["tournament"]
    name: Name = "tournament"
    """The name of the method in results."""
    rounds: Repeats = 4
    """The number of rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round, those with the most confident last comparison first."""
    samples: Votes = 8
    """The number of answers that are sampled for each row."""
    temperature: PositiveFloat = 0.7
    """The temperature at which answers are sampled."""
    comparisons: Repeats = 3
    """The most comparisons for a row, the one with the label included. So at most this many answers compete."""

    @property
    def parts(self) -> int:
        """The two halves of cross-labelling."""
        return 2

    @property
    def samples_per_row(self) -> int:
        """How many answers are sampled for each row."""
        return self.samples

    @property
    def comparisons_per_row(self) -> int:
        """The most comparisons for a row."""
        return self.comparisons


@METHODS.add
class RobustFtMethod(MethodSettings):
    """RobustFT's gate (Luo et al., arXiv 2412.14922): a label that the samples' vote confirms is kept, and of the
    other rows those with the lowest entropy are relabelled. No annotator is asked. docs/concepts/refiners.md says what
    differs from the paper."""

    label: ClassVar[str | None] = "RobustFT's gate"
    refines: ClassVar[bool] = True
    cap_field: ClassVar[str | None] = "alpha"
    kind: Literal["robustft"]
    name: Name = "robustft"
    """The name of the method in results."""
    rounds: Repeats = 1
    """The number of rounds (the paper relabels once)."""
    alpha: Share = 0.15
    """At most this share of all rows is replaced in each round. The paper takes half of the rows whose label is not
    confirmed."""
    samples: Votes = 8
    """The number of answers that are sampled for each row. The paper has two, from two prompts."""
    temperature: PositiveFloat = 0.7
    """The temperature at which answers are sampled (released code: 1)."""

    @property
    def parts(self) -> int:
        """The two halves of cross-labelling."""
        return 2

    @property
    def samples_per_row(self) -> int:
        """How many answers are sampled for each row."""
        return self.samples


@METHODS.add
class RestEmMethod(ComparingMethod):
    """ReST-EM (Singh et al., arXiv 2312.06585): sample from the model, keep the samples that pass, train the base model
    on them alone, and repeat. The annotator takes the place of the paper's ground truth. docs/concepts/refiners.md says
    what else differs."""

    label: ClassVar[str | None] = "ReST-EM"
    cap_field: ClassVar[str | None] = "alpha"
    kind: Literal["rest_em"]
    name: Name = "rest_em"
    """The name of the method in results."""
    rounds: Repeats = 2
    """The number of rounds (the paper runs up to three)."""
    alpha: Share = 1.0
    """At most this share of all rows gets a sample whose answer differs from the label. The paper has no such bound;
    set it to the `alpha` of the other methods to compare with them at one bound."""
    samples: Votes = 8
    """The number of answers that are sampled for each row (the paper samples 32 on MATH)."""
    temperature: PositiveFloat = 0.7
    """The temperature at which answers are sampled (the paper's value)."""

    @property
    def samples_per_row(self) -> int:
        """How many answers are sampled for each row."""
        return self.samples


@METHODS.add
class DropMethod(ComparingMethod):
    """Train without the rows whose label loses against its proposal, instead of replacing the label. Proposals and
    comparisons are those of ILR."""

    label: ClassVar[str | None] = "drop"
    cap_field: ClassVar[str | None] = "alpha"
    kind: Literal["drop"]
    name: Name = "drop"
    """The name of the method in results."""
    rounds: Repeats = 4
    """The number of rounds."""
    alpha: Share = 0.15
    """At most this share of all rows is removed in each round, those with the most confident comparison first."""

    @property
    def parts(self) -> int:
        """The two halves of cross-labelling."""
        return 2
