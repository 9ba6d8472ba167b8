"""The check of Algorithm 1, line 8: a proposal comes from a model that was not trained on its example."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice

from burnish.errors import StageError
from burnish.store.keys import contained
from burnish.types import Demonstration

_AT_ONCE = 1024
"""How many proposals are checked at once: to look up one id takes ten times as long."""


def cross_labelled(
    trained_on: Mapping[str, AbstractSet[str]], proposals: Iterable[Demonstration]
) -> Iterator[Demonstration]:
    """Yield the proposals, and check that no model proposes for an example that it was trained on.

    `trained_on` is {model fingerprint: example ids}. Raises StageError if a model was trained on an example that it
    proposes for, or if a proposal comes from a model that is not in `trained_on`. The message names the example and the
    model.
    """
    waiting = iter(proposals)
    while some := list(islice(waiting, _AT_ONCE)):
        ids = [proposal.example_id for proposal in some]
        trained = {model: contained(ids, trained_ids) for model, trained_ids in trained_on.items()}
        for number, proposal in enumerate(some):
            # Nobody knows what another model was trained on, so its proposals are refused too.
            if proposal.producer not in trained:
                raise StageError(
                    f"example {proposal.example_id}: its proposal comes from {proposal.producer!r}, which is none of "
                    f"this round's models ({', '.join(sorted(trained_on))}); remove the stage's folder and run again"
                )
            if trained[proposal.producer][number]:
                raise StageError(
                    f"example {proposal.example_id}: its proposal comes from model {proposal.producer}, which was "
                    "trained on it; a proposal must come from the model of the other half"
                )
            yield proposal
