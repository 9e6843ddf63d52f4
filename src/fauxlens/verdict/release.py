"""Puts trained weights of the embedded detector into the package: network, card and judgement, checked.

    python -m fauxlens.verdict.release head judgement.json --first run

`head` is a finished training, and `run` the one whose weights it began with, if it did; the judgement is what
`fauxlens calibrate` wrote for the `weights.safetensors` of the last one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fauxlens.core.errors import BadWeights
from fauxlens.core.files import sha256_of, write_json
from fauxlens.detectors import store as stores
from fauxlens.detectors.checkpoint import read_tensors
from fauxlens.detectors.detector import Loaded
from fauxlens.detectors.load import weight_set
from fauxlens.detectors.small import Small
from fauxlens.detectors.store import Stored
from fauxlens.verdict.fit import OWN
from fauxlens.verdict.judgement import place_beside, read_judgement

LARGEST = 16 << 20
"""Bytes that may travel with the package."""
OURS = (
    "It was calibrated on photos that were not trained on, but by which its makers chose among trainings, and on what "
    "the package's own forge made of them; on pictures of another kind it may err more often."
)
"""In place of the sentence on a user's own pictures."""


def release(run: Path, judgement: Path, *, first: Path | None = None, store: Path | None = None) -> Stored:
    """Write the set `embedded` below `store`, by default inside the package.

    `first` is the training that `run` began with; its facts belong on the card as well.
    """
    base = store or stores.embedded_folder()
    path, facts = run / "weights.safetensors", _facts(run)
    training = _training(facts)
    before = facts["settings"].get("start", "random")
    if (before != "random") != (first is not None):
        raise BadWeights(
            "a card tells of every training, and of none that was not",
            where=run, wanted="--first, the folder of the training that it began with, where it did",
            got=f"a start from {before}, {'no first training' if first is None else first}",
        )  # fmt: skip
    if first is not None:
        begun = _facts(first)
        if Path(before).is_file() and sha256_of(Path(before)) != begun["sha256"]:
            raise BadWeights("it did not begin with these weights", where=run, wanted=before, got=first)
        # Where that file lay is nobody's business.
        training["settings"] = {**training["settings"], "start": f"weights {begun['sha256']}"}
        training["first"] = _training(begun)
    known = read_judgement(judgement)
    known.require_weights(facts["sha256"], judgement)
    chosen = weight_set(Small, "embedded")
    stored = stores.put(Small.card.name, replace(chosen, setting=facts["setting"]), "", read_tensors(path), store=base)
    if stored.bytes > LARGEST:
        raise BadWeights("too large to travel with the package", wanted=f"{LARGEST:,} bytes", got=f"{stored.bytes:,}")
    card = stored.folder / "card.json"
    write_json(card, {**json.loads(card.read_text("utf-8")), "training": training})
    # A file is the same numbers in any order, so the package's own may have another digest than the run's.
    mine = replace(
        known,
        weights_sha256=stored.sha256,
        limits=tuple(OURS if one == OWN else one for one in known.limits),
        calibration=replace(known.calibration, weights_sha256=stored.sha256),
    )
    place = place_beside(Loaded(chosen.name, stored.sha256, tuple(stored.files.values())), known.axis)
    assert place is not None
    mine.save(place)
    # What travels with a package is readable by whoever installs it, and nobody writes there any more.
    (stored.folder / ".lock").unlink(missing_ok=True)
    for file in stored.folder.iterdir():
        file.chmod(0o644)
    return stored


def _facts(run: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((run / "card.json").read_text("utf-8"))
    if facts["detector"] != Small.card.name or facts["sha256"] != sha256_of(run / "weights.safetensors"):
        raise BadWeights("these are not the weights that the card of the run tells of", where=run)
    return facts


def _training(facts: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("recipe", "recipe_digest", "settings", "manifest", "manifest_digest", "licences", "epochs", "steps",
            "samples", "seconds", "validation", "written_by")  # fmt: skip
    return {name: facts[name] for name in kept}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Put trained weights of the embedded detector into the package.")
    parser.add_argument("run", type=Path)
    parser.add_argument("judgement", type=Path)
    parser.add_argument("--first", type=Path, help="the training that it began with")
    parser.add_argument("--store", type=Path, help="another folder than the package's own")
    given = parser.parse_args()
    stored = release(given.run, given.judgement, first=given.first, store=given.store)
    sys.stdout.write(f"wrote {stored.folder}: {stored.bytes:,} bytes, {stored.sha256}\n")


if __name__ == "__main__":
    main()
