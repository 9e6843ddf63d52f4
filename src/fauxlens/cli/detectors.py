"""`fauxlens detectors`."""

from __future__ import annotations

from dataclasses import asdict

from fauxlens.cli import console
from fauxlens.cli.options import AsJson


def command(json: AsJson = False) -> int:
    """Every detector: what it tells, how large it is, whose weights it needs and whether they are here."""
    from fauxlens.detectors.inventory import entries, kinds

    cards = [(kind.card, kind.settings, kind.options, entries(kind)) for kind in kinds()]
    if json:
        console.say_json(
            [
                {
                    "name": card.name,
                    "title": card.title,
                    "year": card.year,
                    "family": card.family,
                    "tasks": list(card.tasks),
                    "parameters": card.parameters,
                    "input": card.input,
                    "code": card.code,
                    "settings": list(settings),
                    "options": {name: {"about": one.about, "wanted": one.wanted} for name, one in options.items()},
                    "weights": [
                        {
                            "set": one.weights.name,
                            "licence": one.weights.licence,
                            "use": one.weights.use,
                            "state": one.state,
                        }
                        for one in sets
                    ],
                    "targets": [asdict(target) for target in card.targets],
                    "limits": list(card.limits),
                }
                for card, settings, options, sets in cards
            ]
        )
        return 0
    rows = []
    for card, _, _, sets in cards:
        licences = " | ".join(dict.fromkeys(one.weights.licence for one in sets)) or "none known"
        states = ", ".join(f"{one.weights.name}: {one.state}" for one in sets) or "none known"
        # A mean tells more than the first set of a table, which may be the one that it was trained on.
        first = next((one for one in card.targets if "mean" in one.data), card.targets[0] if card.targets else None)
        published = None if first is None else f"{first.metric} = {first.value:g} on {first.data}"
        more = f" (and {len(card.targets) - 1} more)" if len(card.targets) > 1 else ""
        told = published and published + more
        rows.append(
            (card.name, card.family, ", ".join(card.tasks), card.parameters, states, licences, told, card.input)
        )
    head = ("detector", "family", "task", "parameters", "weights", "licence of weights", "published", "input")
    console.show_table(head, rows, numbers=(3,))
    console.remark("one detector in words: fauxlens weights show NAME; all numbers: fauxlens detectors --json")
    return 0
