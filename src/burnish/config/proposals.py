"""Settings of proposals that come from elsewhere: from a file, or from a model on a server."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, StringConstraints

from burnish.config.base import Settings
from burnish.config.methods import IlrMethod, MethodSettings
from burnish.config.models import ModelConfig
from burnish.config.servers import ChatServerSettings


class FileProposals(Settings):
    """Proposals in a file: JSONL, JSON, Parquet, CSV or TSV.

    If the file has the id column of the dataset (`data.id_column`), rows are paired by id. Without it, the file has one
    row for each row of the dataset, in the same order.
    """

    kind: Literal["file"]
    path: str
    """The file."""
    column: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The column with the proposals. If not given, it is `proposal`, or else `completion`, or else `answer`."""


class ServerProposals(ChatServerSettings):
    """A language model on an OpenAI-compatible server (vLLM, SGLang, llama.cpp or a hosted service). It answers each
    prompt once."""

    field: ClassVar[str] = "proposals"
    kind: Literal["server"]


Proposals: TypeAlias = Annotated[FileProposals | ServerProposals, Field(discriminator="kind")]
"""The choices for `proposals`."""


def check_proposals(method: MethodSettings, model: ModelConfig | None, changed: AbstractSet[str]) -> None:
    """Check that the other settings of a refinement fit proposals from elsewhere. `changed` are the names of those that
    do not have their default value.

    Raises ValueError, which names the field, if the method trains models to propose answers, if there are several
    rounds, or if a setting would not be used.
    """
    if not isinstance(method, IlrMethod):
        raise ValueError(
            f"method: {method.kind} found, but it proposes answers itself and takes no proposals from elsewhere; use "
            "the method ilr, or leave proposals out"
        )
    if method.rounds != 1:
        raise ValueError(
            f"method.rounds: {method.rounds} found, but with proposals there is one round, because a second one would "
            "compare the same proposals again; set it to 1 (--rounds 1)"
        )
    if method.splits != 2 or not method.cross_label:
        raise ValueError(
            "method.splits and method.cross_label: with proposals the rows are not divided and no model is trained on "
            "a part of them; leave both out"
        )
    # Held-out prompts are answered by the trained models, which `decode` is for.
    generated = ["train_proposers", *([] if "holdout" in changed else ["decode"])]
    if found := [name for name in (*generated, *(["train", "merge"] if model is None else [])) if name in changed]:
        why = "proposals come from elsewhere" if found[0] in generated else "no model is given, so none is trained"
        raise ValueError(f"{found[0]}: it is set, but {why}, so it is not used; leave it out")
