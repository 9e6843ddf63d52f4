"""The results of the embedded detector as a page: what `embedded.py` and `verdicts.py` measured, between its marks.

    python benchmarks/embedded_page.py docs

`docs/results/` holds their JSON. Of one design under several seeds (`context-0`, `context-1`, ...) the mean is told,
with the lowest and the highest in brackets.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fauxlens.core.files import write_bytes, write_text
from fauxlens.core.report import Figure
from fauxlens.report import charts
from studies_page import between, spread, table

Result = Mapping[str, Any]
BASELINE = "smooth"
DELIVERIES = {
    "plain": "plain",
    "jpeg:quality=95": "JPEG 95",
    "jpeg:quality=85": "JPEG 85",
    "jpeg:quality=75": "JPEG 75",
    "resize:scale=0.75": "three quarters",
}
KINDS = {
    "HeldPlain": "new decoders",
    "HeldAligned": "new decoders, as rough as what they replace",
    "KnownPlain": "decoders it learnt",
    "KnownAligned": "decoders it learnt, as rough as what they replace",
    "Telea": "Telea's fill (learnt)",
    "NavierStokes": "Navier-Stokes fill",
    "Learned": "small inpainting network",
    "Splice": "piece of another photo",
    "Exemplar": "filled with pieces of itself",
}


def write(folder: Path) -> Path:
    """Put the tables into `folder/results.md`; the page's own words stay."""
    page = folder / "results.md"
    text = page.read_text(encoding="utf-8")
    for name, lines in tables(folder / "results").items():
        text = between(text, name, "\n".join(["", *lines, ""]))
    shown = []
    for figure in drawn(_read(folder / "results" / "curves.json")):
        write_bytes(folder / "results" / f"{figure.name}.svg", figure.data)
        shown += ["", f"![{figure.alternative}](results/{figure.name}.svg)", "", f"*{figure.title}.*"]
    text = between(text, "curves", "\n".join([*shown, ""]))
    write_text(page, text)
    return page


def tables(folder: Path) -> dict[str, list[str]]:
    """All tables by the name of their marks."""
    gates = _read(folder / "gates.json")
    reals, generated = _read(folder / "verdicts-real.json"), _read(folder / "verdicts-generated.json")
    every = _read(folder / "gates-all.json")
    return {
        "every": _every(every),
        "named": _calibration(every),
        "places": _places(gates, "pixel_auc"),
        "gain": _places(gates, "gain"),
        "overlap": _places(gates, "iou", without=BASELINE),
        "detection": _places(gates, "detection_auc"),
        "caught": _places(gates, "tpr_at_1_percent", without=BASELINE),
        "families": _families(gates),
        "processed": _processed(gates),
        "controls": _controls(gates),
        "calibration": _calibration(gates),
        "reals": _verdicts(reals),
        "generated": _verdicts(generated),
    }


def curve(log: Path) -> dict[str, list[list[float]]]:
    """What the log of a training tells: [epoch, mean loss of the marks] and [epoch, pooled pixel AUC, AUC]."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    losses: dict[int, list[float]] = {}
    for row in rows:
        if row["kind"] == "steps" and "loss mask" in row:
            losses.setdefault(row["epoch"], []).append(row["loss mask"])
    checked = {row["epoch"]: [row["pooled_auc"], row["AUC"]] for row in rows if row["kind"] == "validation"}
    return {
        "loss": [[epoch + 1, sum(values) / len(values)] for epoch, values in sorted(losses.items())],
        "validation": [[epoch, *values] for epoch, values in sorted(checked.items())],
    }


def drawn(curves: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> list[Figure]:
    """Two figures: the loss while it learnt, and what it could do on validation pictures in between."""

    def lines(what: str) -> dict[str, tuple[Any, Any]]:
        several = {name: np.array(told[what], dtype=np.float64) for name, told in curves.items() if told[what]}
        return {name: (rows[:, 0], rows[:, 1]) for name, rows in several.items()}

    return [
        charts.curves("curves-loss", "Loss of the marks, mean over an epoch; what is hard comes in by and by",
                      lines("loss"), x_label="epoch", y_label="cross-entropy"),
        charts.curves("curves-validation", "Pixel AUC on 160 validation pictures, pooled", lines("validation"),
                      x_label="epoch", y_label="pixel AUC"),
    ]  # fmt: skip


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def designs(names: Sequence[str]) -> dict[str, list[str]]:
    """Detectors by design, its seeds together, in the order they were asked.

    >>> designs(["smooth", "context-0", "context-1", "nano"])
    {'smooth': ['smooth'], 'context': ['context-0', 'context-1'], 'nano': ['nano']}
    """
    found: dict[str, list[str]] = {}
    for name in names:
        design, _, seed = name.rpartition("-")
        found.setdefault(design if design and seed.isdigit() else name, []).append(name)
    return found


def _places(gates: Result, what: str, without: str | None = None) -> list[str]:
    """A row a kind and design, a column a delivery."""
    forgeries = gates["forgeries"]
    rows = []
    for kind, (design, names) in itertools.product(_kinds(gates), _designs(gates)):
        if design == without:
            continue
        several = [[forgeries[name][kind][delivery][what] for name in names] for delivery in DELIVERIES]
        first = f"{KINDS.get(kind, kind)} ({forgeries[names[0]][kind]['plain']['pictures']})"
        rows.append([first, design, *(spread(values, ".3f") for values in several)])
    return table(["forged (pictures)", "design", *DELIVERIES.values()], rows)


def _families(gates: Result) -> list[str]:
    """A row a family of decoders, kept apart or learnt; one column a design."""
    groups = [(design, names) for design, names in _designs(gates) if design != BASELINE]
    rows = []
    of = gates["forgeries"][BASELINE]
    for key in (one for one in of if ":" in one):
        kind, family = key.split(": ")
        if "imprint/" not in family:
            continue
        cells = [
            spread((gates["forgeries"][name][key]["plain"]["pixel_auc"] for name in names), ".3f")
            for _, names in groups
        ]
        base = of[key]["plain"]
        valid = "" if gates["valid"][key] else " (the baseline finds it: not counted)"
        rows.append(
            [f"{KINDS.get(kind, kind)}: {family.removeprefix('imprint/')}{valid}", str(base["pictures"]),
             f"{base['pixel_auc']:.3f}", *cells]
        )  # fmt: skip
    return table(["family", "pictures", "baseline", *(design for design, _ in groups)], rows)


def _every(gates: Result) -> list[str]:
    """One detector on every forgery there is: a row a kind, and below it one a family."""
    ((_, told),) = ((name, of) for name, of in gates["forgeries"].items() if name != BASELINE)
    base = gates["forgeries"][BASELINE]
    rows = []
    for key in sorted(told):
        kind, _, family = key.partition(": ")
        several, plain = told[key], told[key]["plain"]
        name = family.removeprefix("imprint/") or f"**{KINDS.get(kind, kind)}**"
        valid = "" if gates["valid"][key] else " (the baseline finds it: not counted)"
        rows.append(
            [f"{name}{valid}", str(plain["pictures"]), f"{base[key]['plain']['pixel_auc']:.3f}",
             *(f"{several[delivery]['pixel_auc']:.3f}" for delivery in DELIVERIES), f"{plain['gain']:+.2f}",
             f"{plain['iou']:.2f}", f"{plain['detection_auc']:.2f}", f"{plain['tpr_at_1_percent']:.2f}"]
        )  # fmt: skip
    head = ["forged by", "pictures", "baseline", *DELIVERIES.values(), "gain", "IoU", "AUC, whole picture"]
    return table([*head, "found at 1 %"], rows)


def _processed(gates: Result) -> list[str]:
    """A row a way to process a real photo; shares above the threshold that one untouched photo in a hundred passes."""
    alarms = gates["false_alarms"]
    kinds = list(alarms[BASELINE]["processed"])
    rows = [
        [kind, *(spread((alarms[name]["processed"][kind] for name in names), ".1%") for _, names in _designs(gates))]
        for kind in kinds
    ]
    for title, key in (("mean of these", "processed_mean"), ("the most of these", "processed_most")):
        rows.append([title, *(spread((alarms[name][key] for name in names), ".1%") for _, names in _designs(gates))])
    return table(["real photos that were", *(design for design, _ in _designs(gates))], rows)


def _controls(gates: Result) -> list[str]:
    """Photos by what compression did to them, the paste of a history twin, photos by source."""
    rows = []
    for title, value in _control_rows(gates):
        rows.append([title, *(spread(map(value, names), ".3f") for _, names in _designs(gates))])
    return table(["control", *(design for design, _ in _designs(gates))], rows)


def _control_rows(gates: Result) -> Iterator[tuple[str, Callable[[str], float]]]:
    alarms, history = gates["false_alarms"], gates["history_paste"]
    for quality in history[BASELINE]:
        number = history[BASELINE][quality]["pictures"]

        def pasted(name: str, quality: str = quality) -> float:
            return float(history[name][quality]["pixel_auc"])

        yield f"a photo that was no JPEG pasted {quality.replace('jpeg', 'its own JPEG')} ({number}), pixel AUC", pasted
    for group, title in (("compressed", "false alarms, photos"), ("source", "false alarms, source")):
        for key in alarms[BASELINE][group]:

            def flagged(name: str, group: str = group, key: str = key) -> float:
                return float(alarms[name][group][key])

            yield f"{title} {key}", flagged


def _calibration(gates: Result) -> list[str]:
    """Of the detector with a judgement: verdicts by the score alone, and the error of its probabilities."""
    ((_, judged),) = gates["judged"].items()
    rows = []
    for delivery, title in DELIVERIES.items():
        real = judged["reals"][delivery]
        rows.append(["real photos", title, *(f"{real[one]:.1%}" for one in ("edited", "inconclusive", "no_sign")), ""])
    for kind in _kinds(gates):
        for delivery, title in DELIVERIES.items():
            told = judged["forgeries"][kind][delivery]
            ece = f"{judged['ece'][kind]:.3f}" if delivery == "plain" else ""
            shares = (f"{told[one]:.1%}" for one in ("edited", "inconclusive", "no_sign"))
            rows.append([KINDS.get(kind, kind), title, *shares, ece])
    return table(["pictures", "delivery", "edited", "inconclusive", "no sign", "ECE, all deliveries"], rows)


def _verdicts(result: Result) -> list[str]:
    """A row a delivery and source."""
    rows = []
    for delivery, sources in result["deliveries"].items():
        for name, told in sources.items():
            low, high = told["accused_interval"]
            rows.append(
                [delivery, name, str(told["pictures"]), f"{told['accused']} ({told['accused_share']:.1%})",
                 f"{low:.1%} to {high:.1%}", str(told["accused_by_the_score_alone"]), f"{told['inconclusive']:.0%}",
                 f"{told['no_sign']:.0%}"]
            )  # fmt: skip
    head = ["delivery", "from", "pictures", "edited or generated", "95 %", "by the score alone", "inconclusive"]
    return table([*head, "no sign"], rows)


def _kinds(gates: Result) -> list[str]:
    here = [one for one in gates["forgeries"][BASELINE] if ":" not in one]
    return [one for one in KINDS if one in here] + [one for one in here if one not in KINDS]


def _designs(gates: Result) -> list[tuple[str, list[str]]]:
    return list(designs(_order(gates)).items())


def _order(gates: Result) -> list[str]:
    # Files are written with sorted keys: the baseline first, then by name.
    return sorted(gates["forgeries"], key=lambda one: (one != BASELINE, one))


def rounded(value: Any) -> Any:
    """The same with numbers of four digits behind the point; NaN, which JSON has not, is null."""
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("docs", type=Path)
    parser.add_argument("--gates", type=Path, help="take this file in, rounded")
    parser.add_argument("--every", type=Path, help="the same of one detector, on all forgeries that there are")
    parser.add_argument("--reals", type=Path)
    parser.add_argument("--generated", type=Path)
    parser.add_argument("--curve", action="append", default=[], metavar="NAME=LOG", help="the log of a training")
    given = parser.parse_args()
    if given.curve:
        told = {name: curve(Path(path)) for name, _, path in (one.partition("=") for one in given.curve)}
        write_text(given.docs / "results" / "curves.json", json.dumps(rounded(told), separators=(",", ":")) + "\n")
    for path, name in (
        (given.gates, "gates"),
        (given.every, "gates-all"),
        (given.reals, "verdicts-real"),
        (given.generated, "verdicts-generated"),
    ):
        if path is not None:
            text = json.dumps(rounded(_read(path)), indent=None, separators=(",", ":")).replace('},"', '},\n"')
            write_text(given.docs / "results" / f"{name}.json", text + "\n")
    print(f"wrote {write(given.docs)}")


if __name__ == "__main__":
    main()
