"""What each kind of stage of a finished run cost: seconds, rows a second, tokens a second, from its timings.json.

python benchmarks/stages.py runs/demo --out docs/results/demo-stages.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench_output import put

from burnish.results import StageTiming, read_timings


def summed(name: str, stages: list[StageTiming]) -> dict[str, Any]:
    """Return one kind's sums and rates; reused stages cost nothing and are left out."""
    seconds = sum(stage.seconds for stage in stages)
    rows, tokens = sum(stage.rows for stage in stages), sum(stage.tokens for stage in stages)
    return {
        "stage": name,
        "count": len(stages),
        "seconds": round(seconds, 2),
        "rows": rows,
        "rows_per_second": round(rows / seconds, 1) if seconds else None,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1) if seconds and tokens else None,
    }


def main() -> None:
    """Read, sum, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    timings = read_timings(options.directory)
    names = sorted({stage.name for stage in timings.stages})
    fresh = [stage for stage in timings.stages if not stage.reused]
    result = {
        "total_seconds": timings.total_seconds,
        "peak_memory_bytes": timings.peak_memory_bytes,
        "machine": timings.machine.model_dump(exclude={"platform"}),
        "stages": [summed(name, [stage for stage in fresh if stage.name == name]) for name in names],
    }
    put(result, options.out)


if __name__ == "__main__":
    main()
