"""The drawings of the paper's figures, made from the results of one experiment's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.report.claims import annotator_accuracy
from burnish.report.drawing import Axis, Curve, Drawing, Mark, curves, grouped_bars, scaled
from burnish.report.figures import over_rounds, overoptimisation, preference_training
from burnish.report.gaps import At, Variants, by_seed, gap, last_round, round_of
from burnish.report.series import Point, curve, methods
from burnish.results import Bounds, Results
from burnish.stats import mean_interval

POINTS = "gain over SFT (points)"
"""The label of an axis with gains."""
DIAL = (("ilr", "ILR"), ("dpo", "DPO, rate 1e-6"), ("naive", "naive"), ("dpo-3e-6", "DPO, rate 3e-6"))
"""The methods in the figure of annotator accuracies, with their labels."""
BETAS = (0.01, 0.1, 0.5)
"""The levels of regularisation (appendix D.3)."""


def bars(name: str, title: str, *wanted: tuple[str, At]) -> Callable[[Variants], list[Drawing]]:
    """Return a function that draws test accuracy, with a group of bars for each setting."""

    def draw(variants: Variants) -> list[Drawing]:
        # A method that no setting has would be an empty series in the legend, so it is left out.
        series = [
            (label, [_point(results, at) for results in variants.values()])
            for label, at in wanted
            if any(_point(results, at) for results in variants.values())
        ]
        return [grouped_bars(name, title, "test accuracy (%)", [label or "all" for label in variants], series)]

    return draw


def _point(results: Results, at: At) -> Point | None:
    """Return the point of a metric at a place, or None if it was not measured."""
    number = round_of(results, at)
    return next((point for point in curve(results, at.method, at.metric) if point.round == number), None)


def rounds(metric: str, title: str) -> Callable[[Variants], list[Drawing]]:
    """Return a function that draws a metric over the rounds, with a figure for each setting."""

    def draw(variants: Variants) -> list[Drawing]:
        drawings = [
            over_rounds(results, f"{metric}-{place}", f"{title}: {label}" if label else title, metric)
            for place, (label, results) in enumerate(variants.items())
        ]
        return [drawing for drawing in drawings if drawing is not None]

    return draw


def figure_4(variants: Variants) -> list[Drawing]:
    """Draw test accuracy in every setting.

    For the first setting, also draw what the annotator sees and how preference training went.
    """
    drawn = rounds("test_accuracy", "Test accuracy")(variants)
    first = next(iter(variants.values()))
    return [*drawn, *overoptimisation(first), *preference_training(first)]


def _gain(results: Results, at: At) -> Mark | None:
    """Return a mark at x = 0 whose height is the gain over SFT in points. `_at` moves it to its x."""
    difference = gap(results, at, At("sft", 0))
    if difference is None:
        return None
    # Shares are drawn in percentage points.
    return Mark(x=0, y=100 * difference.value, y_ci=scaled(difference.ci95, 100))


def _at(mark: Mark, x: float, x_ci: Bounds | None = None) -> Mark:
    """Return the mark moved to another x."""
    return Mark(x=x, y=mark.y, x_ci=x_ci, y_ci=mark.y_ci)


def by_beta(rounds: int) -> Callable[[Variants], list[Drawing]]:
    """Return a function that draws the gain over SFT by beta and by divergence, with a curve for each feedback."""

    def draw(variants: Variants) -> list[Drawing]:
        by_beta_curves: list[Curve] = []
        by_divergence: list[Curve] = []
        for label, results in variants.items():
            # The configs name the methods by their beta, as in "dpo-beta-0.1".
            dpo = [(beta, At(f"dpo-beta-{beta:g}", rounds)) for beta in BETAS]
            marks = [(beta, at, mark) for beta, at in dpo if (mark := _gain(results, at)) is not None]
            by_beta_curves.append(Curve(label=f"DPO, {label}", marks=tuple(_at(mark, beta) for beta, _, mark in marks)))
            divergence_marks = [_at(mark, *_divergence(results, at)) for _, at, mark in marks]
            by_divergence.append(Curve(label=f"DPO, {label}", marks=tuple(divergence_marks)))
        for label, results in variants.items():
            if (mark := _gain(results, At("ilr", rounds))) is not None:
                ilr = _at(mark, *_divergence(results, At("ilr", rounds)))
                by_divergence.append(Curve(label=f"ILR, {label}", marks=(ilr,), joined=False))
        # Both axes are logarithmic, because betas and divergences span more than one power of ten.
        beta, kl = Axis(label="beta", log=True), Axis(label="KL from the SFT model (nats a sequence)", log=True)
        after = "one round" if rounds == 1 else f"{rounds} rounds"
        return [
            curves(
                "beta", f"Gain by beta and feedback, after {after}", beta, Axis(label=POINTS), by_beta_curves, zero=True
            ),
            curves(
                "divergence", f"Gain by divergence, after {after}", kl, Axis(label=POINTS), by_divergence, zero=True
            ),
        ]

    return draw


def _divergence(results: Results, at: At) -> tuple[float, Bounds | None]:
    """Return the mean KL over seeds and its interval.

    The lower end is kept above zero, because a logarithmic axis has no zero.
    """
    values = list(by_seed(results, At(at.method, at.round, "kl")).values())
    interval = mean_interval(values)
    # A tenth of the value is low enough to show that the interval is wide.
    low = max(interval.low or interval.value, interval.value / 10)
    return interval.value, None if interval.high is None else (low, interval.high)


def figure_5(variants: Variants) -> list[Drawing]:
    """Draw label accuracy for each feedback, and the accuracy of a model trained on gold labels."""
    lines = [
        Curve(label=f"labels, {label} feedback", marks=tuple(_percent(curve(results, "ilr", "label_accuracy"))))
        for label, results in variants.items()
    ]
    first = next(iter(variants.values()))
    # The ceiling has only round 0; it is drawn as a flat line over all rounds.
    ceiling = _point(first, At("ceiling", 0))
    every = range(last_round(first, "ilr") + 1)
    if ceiling is not None:
        marks = tuple(Mark(x=number, y=100 * ceiling.value) for number in every)
        lines.append(Curve(label="test accuracy, trained on gold labels", marks=marks))
    axes = Axis(label="round"), Axis(label="label accuracy (%)")
    return [curves("label-accuracy", "Accuracy of the training labels", *axes, lines)]


def _percent(points: Sequence[Point]) -> list[Mark]:
    """Return points as marks in percent."""
    return [Mark(x=point.round, y=100 * point.value, y_ci=scaled(point.ci95, 100)) for point in points]


def figure_10(variants: Variants) -> list[Drawing]:
    """Draw test and label accuracy over the rounds for each alpha."""
    results = next(iter(variants.values()))
    moving = [method for method in methods(results) if method.last_round > 0]
    return [
        curves(
            f"alpha-{metric}",
            title,
            Axis(label="round"),
            Axis(label=f"{title.lower()} (%)"),
            [Curve(label=m.label, marks=tuple(_percent(curve(results, m.name, metric)))) for m in moving],
        )
        for metric, title in (("test_accuracy", "Test accuracy"), ("label_accuracy", "Label accuracy"))
    ]


def dial(variants: Variants) -> list[Drawing]:
    """Draw the gain of one round by the annotator's accuracy, with a figure for each budget."""
    drawn: list[Drawing] = []
    for equal in (False, True):
        chosen = [r for n, r in variants.items() if n.endswith("equal budget") is equal]
        # Sort by accuracy, so that the line joins the settings in the order of the axis.
        known = sorted(((annotator_accuracy(r) or 0.0, place) for place, r in enumerate(chosen)))
        lines = [
            Curve(
                label=label,
                marks=tuple(
                    _at(mark, 100 * accuracy)
                    for accuracy, place in known
                    if (mark := _gain(chosen[place], At(method, 1))) is not None
                ),
            )
            for method, label in DIAL
        ]
        budget = "equal budget" if equal else "the paper's budget"
        x = Axis(label="annotator's accuracy in round 1 (% of decisive pairs)")
        name = "dial-equal" if equal else "dial-paper"
        drawn.append(curves(name, f"Gain in one round, {budget}", x, Axis(label=POINTS), lines, zero=True))
    return drawn


def every_method(name: str, title: str) -> Callable[[Variants], list[Drawing]]:
    """Return a function that draws the test accuracy of all methods after their last round, grouped by setting."""

    def draw(variants: Variants) -> list[Drawing]:
        first = next(iter(variants.values()))
        # `weak` is left out: it is the supervisor and not a method.
        wanted = [(m.label, At(m.name)) for m in methods(first) if m.name != "weak"]
        return bars(name, title, *wanted)(variants)

    return draw
