"""A host that asks a judge within a budget that hosts share in a bucket.

`python judging_host.py FOLDER URL STORE FIRST` judges 100 pairs from the number FIRST on, with at most 40 calls of all
hosts. It ends with exit code 3 when the budget is spent.
"""

from __future__ import annotations

import sys
from pathlib import Path

from servers import examples, judge_config, pairs

from burnish.annotators.llm.judge import ServerJudge
from burnish.errors import Paused
from burnish.services.calls import CallBudget, Calls
from burnish.store.bucket import open_bucket
from burnish.store.object_store import ObjectStore

LIMIT = 40


def main() -> None:
    """Judge until the budget is spent."""
    folder, url, store, first = sys.argv[1:]
    calls = Calls(Path(folder) / "calls.sqlite", ObjectStore(open_bucket(store), Path(folder)).tally)
    own = pairs(int(first) + 100)[int(first) :]
    judge = ServerJudge(judge_config(url), examples(1000), calls, "run", CallBudget(max_calls=LIMIT), print)
    try:
        for _ in judge.judge(own, set()):
            pass
    except Paused as stop:
        print(stop)
        sys.exit(3)


if __name__ == "__main__":
    main()
