"""The versions of what stages compute.

A version is part of a stage's identity. It is raised when the same settings and inputs give another result, if only in
the last digits, so that old results are not reused. It is not raised for anything else, because all work that follows
would be done again for nothing.
"""

from __future__ import annotations

VERSIONS: dict[str, int] = {
    # Version 1 graded the text of an answer that was cut at the token limit. Now a cut answer is wrong.
    "grade": 2,
    "oracle": 2,
    # Version 1 computed the head at every position and in the drawn order of a step's rows. The last digits differ.
    "train": 2,
    "train_preferences": 2,
    # Version 1 left out a cut answer whose text agreed with gold. Now it is a worse answer. Version 2 took the rows of
    # a step in their drawn order.
    "train_classifier": 3,
    # Version 2 reads each prompt once for all its beams, takes other batches, and projects only the positions with a
    # target to the vocabulary. Its results differ by rounding.
    "answer": 2,
    "score": 2,
    "classifier": 2,
    # Version 2 as above. Version 3 keeps the logit of each preference, which ranks those whose p_b is 1 in floats.
    "likelihood": 3,
    "reward_model": 3,
    # Version 2 fits a temperature, and its report says how often the annotator is right by how sure it is.
    "selftest": 2,
    # In an experiment, version 1 named the annotator in the ledger of a vote, although it was not asked.
    "vote_shares": 2,
}
"""{name of a stage or of an annotator: version}. A name that is not here has version 1."""


def version_of(name: str) -> int:
    """Return the version of a stage or of an annotator."""
    return VERSIONS.get(name, 1)


def recorded(name: str) -> dict[str, int]:
    """Return what an annotator adds to the settings of the stages that ask it: nothing for version 1."""
    version = version_of(name)
    return {} if version == 1 else {"version": version}
