"""What a probe of the audit says: one way in which labels can be told without looking for traces of generation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fauxlens.core.report import Figure, Table

# The chance that a dataset without any shortcut raises any alarm at all, over all probes together.
FAMILY_ALPHA = 0.05


@dataclass(frozen=True)
class Shortcut:
    """The result of one probe.

    `statistic` is named by `statistic_name` (an AUC, a share, a correlation) with its 95 % interval; `p_value` is that
    of the probe's own test against "the classes do not differ in this"; `effect` says in words how large it is;
    `meaning` says what it means for somebody who trains on this data; `examples` are paths to look at. `skipped` says
    in a sentence why the probe could not run; then there is no statistic.
    """

    name: str
    title: str
    statistic_name: str = ""
    statistic: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    count: int = 0
    effect: str = ""
    meaning: str = ""
    generator: str | None = None
    examples: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    alarm: bool = False
    skipped: str | None = None


def with_alarms(shortcuts: list[Shortcut], alpha: float = FAMILY_ALPHA) -> list[Shortcut]:
    """The same with `alarm` set by Holm's step-down rule: family-wise, at most `alpha` of clean datasets raise any.

    >>> found = with_alarms([Shortcut("a", "A", p_value=0.06), Shortcut("b", "B", p_value=0.001)])
    >>> [s.alarm for s in found]
    [False, True]
    """
    tested = sorted((s.p_value, i) for i, s in enumerate(shortcuts) if s.p_value is not None)
    alarmed: set[int] = set()
    for rank, (p_value, index) in enumerate(tested):
        if p_value > alpha / (len(tested) - rank):
            break
        alarmed.add(index)
    return [replace(s, alarm=i in alarmed) for i, s in enumerate(shortcuts)]
