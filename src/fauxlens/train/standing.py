"""How far the training of a learned part of the forge is, in one small file that is written every few seconds.

Those trainings keep checkpoints and logs of their own forms; this is what they have in common, and what `fauxlens
status` reads. It also says which recipe and which manifest the run was begun with.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fauxlens.core.errors import WorkError
from fauxlens.core.files import write_json
from fauxlens.core.settings import settings_from, settings_to

STANDING = "standing.json"

_WRITE_SECONDS = 5.0
_RATE_SECONDS = 60.0  # the rate is that of the last minute: families are not equally quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Which run it is, and how far."""

    kind: str
    recipe: str
    digest: str  # of everything that decides what comes out
    manifest: str
    manifest_digest: str
    total: int  # steps
    done: int = 0
    samples: int = 0
    rate: float | None = None  # steps a second, lately
    loss: float | None = None  # the last step's
    told: str = ""  # how far, in words
    finished: bool = False
    validated: Mapping[str, float] = field(default_factory=dict)  # what was measured on photos held out


def read_standing(folder: Path) -> Standing | None:
    """What the file in a folder says; None when there is none."""
    path = Path(folder) / STANDING
    if not path.is_file():
        return None
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as bad:
        raise WorkError(
            "this file of a training is damaged", where=path, got=bad, hint="delete it; the checkpoint is another file"
        ) from bad
    return settings_from(Standing, given, where=str(path))


class Watch:
    """Told of every step: writes the standing every few seconds, and knows the rate."""

    def __init__(self, folder: Path, standing: Standing) -> None:
        self.folder, self.standing = Path(folder), standing
        self.seen: deque[tuple[float, int]] = deque()
        self.written = 0.0

    def tell(self, **changed: Any) -> None:
        """Take note of where the run is now."""
        self.standing = replace(self.standing, **changed)
        now = time.monotonic()
        self.seen.append((now, self.standing.done))
        while self.seen[0][0] < now - _RATE_SECONDS:
            self.seen.popleft()
        if now - self.written >= _WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the file now."""
        (begun, before), (now, done) = self.seen[0] if self.seen else (0.0, 0), self.seen[-1] if self.seen else (0.0, 0)
        if now > begun and done > before:
            self.standing = replace(self.standing, rate=round((done - before) / (now - begun), 4))
        write_json(self.folder / STANDING, settings_to(self.standing))
        self.written = time.monotonic()
