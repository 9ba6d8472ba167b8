"""Print how many seeds the experiments on SEAM need.

    python scripts/seam_power.py

The deviations over seeds are those of a trial in the embedded world (docs/seam-experiments.md): SEAM's selection gained
1.5 points of sampled accuracy over a random one, with a 95 % interval from 0.3 to 2.7 points over 10 seeds. Nothing is
trained here.
"""

from __future__ import annotations

from burnish.stats.power import deviation_of, paired_power, seeds_needed

TRIALS = {
    "selection against random (points of sampled accuracy)": (1.5, (2.7 - 0.3) / 2, 10),
    "selection against the whole set (points of sampled accuracy)": (1.1, (2.2 + 0.1) / 2, 10),
}
"""{comparison: (difference in the trial, half the width of its 95 % interval, seeds)}."""
EFFECTS = (0.5, 1.0, 1.5, 2.0, 4.0, 4.5)
"""The differences for which seeds are computed. The paper claims 4.5 points for selection and 4 for augmentation."""


def main() -> None:
    """Print a table for each comparison."""
    for name, (difference, half, seeds) in TRIALS.items():
        deviation = deviation_of(half, seeds)
        print(f"{name}: {difference} in the trial, standard deviation over seeds {deviation:.2f}")
        for effect in EFFECTS:
            needed = seeds_needed(effect, deviation)
            powers = ", ".join(f"{paired_power(effect, deviation, n):.2f} with {n}" for n in (5, 8, 10, 20))
            print(f"  a difference of {effect}: {needed or 'over 1,000'} seeds for a power of .8; power {powers}")


if __name__ == "__main__":
    main()
