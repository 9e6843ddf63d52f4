"""The file of trained families: `imprint.safetensors`, half precision, all families in one; and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadWeights, NoWeights
from fauxlens.core.files import sha256_of, write_bytes, write_json
from fauxlens.detectors.checkpoint import digest_of, load_strictly, read_tensors
from fauxlens.forge.create.families import FLOOR, TRAINED
from fauxlens.forge.create.nets.autoencoder import AutoEncoder

WEIGHTS = "imprint.safetensors"
CARD = "imprint.json"
COMMAND = "python -m fauxlens.forge.create.fit_imprint recipes/imprint.toml --manifest m.parquet --output FOLDER"
_STANDARD = Path(__file__).resolve().parent.parent / "weights"
_BAR = "/"  # family/parameter; neither holds one


def half(network: nn.Module) -> dict[str, Tensor]:
    """A network's numbers as they are kept: float16, plain layout. Counters of steps are no part of them."""
    return {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }


def pack(
    folder: Path, states: Mapping[str, Mapping[str, Tensor]], families: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Write the file and the card of these families into the folder; gives the card."""
    from safetensors.torch import save

    tensors = {
        f"{family}{_BAR}{name}": tensor for family, state in sorted(states.items()) for name, tensor in state.items()
    }
    write_bytes(folder / WEIGHTS, save(tensors))
    listed = {}
    for name, facts in sorted(families.items()):
        held = states.get(name)
        of_weights: dict[str, Any] = {"sha256": None, "parameters": None}
        if held is not None:
            of_weights = {"sha256": digest_of(held), "parameters": sum(tensor.numel() for tensor in held.values())}
        listed[name] = {**facts, **of_weights}
    card = {
        **about,
        "file": WEIGHTS,
        "file_sha256": sha256_of(folder / WEIGHTS),
        "file_bytes": (folder / WEIGHTS).stat().st_size,
        "families": listed,
    }
    write_json(folder / CARD, card)
    return card


class ImprintFile:
    """A file of families and its card, checked against each other when they are opened."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = _STANDARD if folder is None else Path(folder)
        path, card = self.folder / WEIGHTS, self.folder / CARD
        gone = [file.name for file in (path, card) if not file.is_file()]
        if gone:
            raise NoWeights(
                f"imprint's trained families are not here: no {' and no '.join(gone)}",
                where=self.folder,
                hint=f'train them with `{COMMAND}` and give FOLDER as `weights`, or set pool = "untrained"',
            )
        try:
            self.card: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
            listed: dict[str, dict[str, Any]] = self.card["families"]
            self.fit = {name: facts for name, facts in listed.items() if facts["fit"]}
            wanted = {name: str(facts["sha256"]) for name, facts in self.fit.items()}
            low = [name for name, facts in self.fit.items() if not facts["decibels"] >= FLOOR]
            self.held_out = frozenset(name for name, facts in self.fit.items() if facts["held_out"])
        except (ValueError, KeyError, TypeError, AttributeError) as bad:
            raise BadWeights(f"not a card of families: {bad!r}", where=card, hint="write it anew: " + COMMAND) from bad
        states: dict[str, dict[str, Tensor]] = {}
        for key, tensor in read_tensors(path).items():
            family, _, name = key.partition(_BAR)
            states.setdefault(family, {})[name] = tensor
        strange = sorted(set(states) ^ set(wanted)) + sorted(set(wanted) - set(TRAINED)) + low
        if strange:
            raise BadWeights("file, card and table do not name the same fit families", where=path, got=strange)
        for family, state in states.items():
            if digest_of(state) != wanted[family]:
                raise BadWeights(f"the numbers of '{family}' are not those of the card", where=path)
        self._states = states
        self._networks: dict[str, AutoEncoder] = {}

    def sha256(self, family: str) -> str:
        """The digest of one family's numbers."""
        return str(self.fit[family]["sha256"])

    def network(self, family: str) -> AutoEncoder:
        """One family's network, ready; built at first use."""
        if family not in self._networks:
            state = {name: tensor.float() for name, tensor in self._states[family].items()}
            # Batch norms count their steps for nothing that is used here, so files leave the counters out.
            network = AutoEncoder(TRAINED[family])
            counters = {name: t for name, t in network.state_dict().items() if not t.is_floating_point()}
            load_strictly(network, {**state, **counters}, where=f"{self.folder / WEIGHTS}: {family}")
            self._networks[family] = network.eval().requires_grad_(False)
        return self._networks[family]
