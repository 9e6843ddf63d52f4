"""The numbers that the BR-Gen paper printed for a detector, as targets of its card."""

from __future__ import annotations

from fauxlens.detectors.card import Target

_METRICS = ("recall of real at 0.5", "recall of fake at 0.5", "F1", "AUC", "IoU")


def br_gen(*values: float | None, trained_on_it: bool) -> tuple[Target, ...]:
    """Recall of real, recall of fake, F1, AUC, IoU in the paper's order, None where it prints none.

    >>> [(target.metric, target.value) for target in br_gen(0.8, 0.1, None, 0.3, None, trained_on_it=False)]
    [('recall of real at 0.5', 0.8), ('recall of fake at 0.5', 0.1), ('AUC', 0.3)]
    """
    data, source = ("BR-Gen, trained on it", "3") if trained_on_it else ("BR-Gen, released weights", "2")
    return tuple(
        Target(
            data=data,
            metric=metric,
            value=value,
            source=f"BR-Gen, Table {source}",
            remark="below 0.5: as printed, fakes rank below reals" if metric == "AUC" and value < 0.5 else "",
        )
        for metric, value in zip(_METRICS, values, strict=True)
        if value is not None
    )
