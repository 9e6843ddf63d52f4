"""The journal's numbers for TensorBoard as well, where somebody asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fauxlens.core.optional import need

FOLDER = "tensorboard"
"""In the folder of a run."""

_NOT_CURVES = ("epoch", "samples", "of", "best")


class Board:
    """Writes event files; `torch.utils.tensorboard` is what makes them, and the package `tensorboard` is needed."""

    def __init__(self, folder: Path) -> None:
        need("tensorboard", "train", "writing logs for TensorBoard")
        self.folder = Path(folder) / FOLDER
        self.writer: Any = None

    def note(self, kind: str, step: int, facts: Mapping[str, Any]) -> None:
        """The numbers among the facts, as curves called `kind/name`."""
        numbers = {
            name: float(value)
            for name, value in facts.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_CURVES
        }
        if not numbers:
            return
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # A run that goes on makes some steps again: what was told of them and of later ones no longer counts.
            self.writer = SummaryWriter(str(self.folder), purge_step=step)
        for name, value in numbers.items():
            self.writer.add_scalar(f"{kind}/{name.replace(' ', '_')}", value, step)
        self.writer.flush()  # whoever looks, looks now; and a kill costs nothing

    def close(self) -> None:
        """End the file."""
        if self.writer is not None:
            self.writer.close()
