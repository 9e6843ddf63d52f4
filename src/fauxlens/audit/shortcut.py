"""What a probe of the audit says: one way in which labels can be told without looking for traces of generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fauxlens.core.report import Figure, Table

# The chance that a dataset without any shortcut raises any alarm at all, over all probes together.
FAMILY_ALPHA = 0.05


@dataclass(frozen=True)
class Shortcut:
    """The result of one probe.

    `statistic` is named by `statistic_name` (an AUC, a share, a correlation) with its 95 % interval; `p_value` is that
    of the probe's own test against "the classes do not differ in this"; `effect` says in words how large it is;
    `meaning` says what it means for somebody who trains on this data; `examples` are paths to look at. `skipped` says
    in a sentence why the probe could not run; then there is no statistic. `certain` marks what was found by looking,
    such as copies: there is no p-value, it takes no share of the level, and it is an alarm. Any other result with a
    statistic and without a p-value is context: it is told, and never an alarm.

    `family` names results whose p-values are already corrected for one another (one probe on the whole and on each
    generator); without one, a result stands alone. `series` holds the numbers behind a chart, by name; the probe's own
    docstring says which.

    `slight` marks a difference that is too small to mean what the alarm would say: its p-value takes part in the level,
    and it is never an alarm.
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
    certain: bool = False
    slight: bool = False
    alarm: bool = False
    skipped: str | None = None
    family: str | None = None
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def with_alarms(shortcuts: Sequence[Shortcut], alpha: float = FAMILY_ALPHA) -> list[Shortcut]:
    """The same with `alarm` set: at most `alpha` of clean datasets raise any, over all results together.

    It is Holm's step-down rule over families: each family spends its share of `alpha` on its own corrected p-values,
    and a share is passed on only when every result of the family is found. What is certain stands apart from this.

    >>> found = with_alarms([Shortcut("a", "A", p_value=0.06), Shortcut("b", "B", p_value=0.001)])
    >>> [s.alarm for s in found]
    [False, True]
    """
    open_ = {i: (s.family or i, s.p_value) for i, s in enumerate(shortcuts) if s.p_value is not None}
    alarmed: set[int] = set()
    while open_:
        share = alpha / len({family for family, _ in open_.values()})
        found = {i for i, (_, p_value) in open_.items() if p_value <= share}
        if not found:
            break
        alarmed |= found
        open_ = {i: entry for i, entry in open_.items() if i not in found}
    return [replace(s, alarm=s.certain or (i in alarmed and not s.slight)) for i, s in enumerate(shortcuts)]
