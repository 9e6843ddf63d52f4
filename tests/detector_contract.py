"""What every detector owes, whoever wrote it. `tests/contract` asks it of the whole table.

Pictures are small and forwards few, since some networks are large: `Asked` builds a detector once, asks it once, and
the checks look at what it said.
"""

from __future__ import annotations

import gc
import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from drawn import drawn_picture, smooth_picture
from fauxlens.core.errors import BadWeights, FauxlensError, NoWeights
from fauxlens.detectors import DETECTORS, Detector, Output, Prediction, detector_class, load
from fauxlens.detectors.card import Task, Use
from fauxlens.detectors.detector import RANDOM
from fauxlens.detectors.load import fitted, without_numbers
from fauxlens.detectors.view import normalised

HUGE = 120_000_000
"""Networks above so many parameters are built once and written to no file."""

DEAR = 2e12
"""Parameters times pixels shown: networks above it see one picture where others see three."""

SIDES = (64, 128)
"""What a network is shown in place of its own size, if it takes it."""

ALIKE = 1e-5
"""How far answers alone and together may differ, as a share of the largest number."""

LAID_OTHERWISE = 1e-3
"""The same for another layout in memory: other kernels add in another order, and a network that looks at gradients
(LGrad) makes 1e-4 of it. A layout that is misread makes 1."""

SMALL_LOGIT = 1e-2
"""Logits below are compared as if they were this large: the difference of two classes may cancel to nothing."""

FIELDS = ("logit", "mask", "generators", "trace", "features", "confidence")


@contextmanager
def no_network() -> Iterator[None]:
    """Whoever asks the network for something fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a detector asked the network for something")

    import socket

    import huggingface_hub

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        for name in ("hf_hub_download", "snapshot_download"):
            patch.setattr(huggingface_hub, name, refuse)
        yield


def entries() -> list[tuple[str, str]]:
    """Every detector with each of its settings."""
    return [(name, setting) for name in sorted(DETECTORS) for setting in detector_class(name).settings]


# --- without numbers: names, shapes, facts ---


@cache
def _without_numbers(name: str, setting: str) -> Detector:
    return without_numbers(detector_class(name), setting)


def check_card(name: str) -> None:
    """Every fact is there and can be meant."""
    kind = detector_class(name)
    card = kind.card
    assert card.name == name
    for fact in ("title", "family", "paper", "about", "input", "code"):
        assert getattr(card, fact).strip(), fact
    assert 2010 <= card.year <= 2100
    assert card.tasks
    assert set(card.tasks) <= set(get_args(Task))
    assert card.parameters > 0
    assert card.limits, "what must its user know before believing it?"
    assert all(limit.strip() for limit in card.limits)
    for target in card.targets:
        assert np.isfinite(target.value)
        assert all((target.data, target.metric, target.source))
    assert len({one.name for one in card.weights}) == len(card.weights)
    for one in card.weights:
        assert one.files
        assert all(fact.strip() for fact in (one.name, one.licence, one.terms, one.trained_on)), one.name
        assert one.use in get_args(Use)
        assert one.setting is None or one.setting in kind.settings
        assert len(set(one.labels)) == len(one.labels)
        for file in one.files:
            assert file.name
            assert file.source.startswith("https://") or (one.use == "ours" and file.source)
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.bytes is None or file.bytes > 0


def check_build(name: str, setting: str) -> None:
    """It can be built without memory, its options be read, its parts and numbers be found in the card."""
    kind = detector_class(name)
    detector = _without_numbers(name, setting)
    # What is not said is asked of the detector when a judgement is made of its answers.
    for option, declared in detector.options.items():
        value = getattr(detector, option)
        assert declared.checked(option, value) == value
    network = detector.network
    assert not network.training
    assert all(p.is_meta for p in network.parameters())
    counted = sum(p.numel() for p in network.parameters())
    assert counted > 0
    if setting == kind.settings[0]:
        assert counted == kind.card.parameters
    state = network.state_dict()
    assert not any(network.load_state_dict(state, strict=True))
    for one in kind.card.weights:
        if (one.setting or kind.settings[0]) == setting:
            for file in one.files:
                assert any(key.startswith(file.part) for key in state), file.part


def check_refusals(name: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that lacks a tensor, has one too many or one of another shape is refused in words that name it."""
    # Otherwise each refusal would build every detector of the table, to tell whom the file fits.
    loading = importlib.import_module("fauxlens.detectors.load")
    monkeypatch.setattr(loading, "DETECTORS", {name: DETECTORS[name]})
    detector = _without_numbers(name, setting)
    state = detector.network.state_dict()
    last = [key for key, _ in detector.network.named_parameters()][-1]
    reshaped = torch.empty((*state[last].shape, 2), device="meta")
    for state_of_file, named in (
        ({key: value for key, value in state.items() if key != last}, last),
        ({**state, "stranger.weight": reshaped}, "stranger.weight"),
        ({**state, last: reshaped}, last),
    ):
        with pytest.raises(BadWeights) as refused:
            fitted(detector, state_of_file, None, "theirs.pth")
        assert "theirs.pth" in str(refused.value)
        assert name in str(refused.value)
        assert named in str(refused.value)
    part, same = fitted(detector, state, None, "theirs.pth")
    assert (part, set(same)) == ("", set(state))


# --- with random weights ---


class Asked:
    """One detector with random weights, and what it said of drawn pictures."""

    def __init__(self, name: str, setting: str) -> None:
        self.name, self.setting = name, setting
        self.detector = load(name, "random", setting=setting, seed=3)
        self.card = self.detector.card
        self.pictures = [drawn_picture(43, 70), smooth_picture(43, 70)]
        self.lacks: NoWeights | None = None
        try:
            self.shown = torch.stack([self.detector.prepare(one).views[0].tensor() for one in self.pictures])
        except NoWeights as lacking:  # it needs a second network beside its weights; its own can still be asked
            self.lacks = lacking
            self.shown = torch.stack([normalised(one) for one in self.pictures])
        parameters = sum(p.numel() for p in self.detector.network.parameters())
        self.is_huge = parameters > HUGE
        self.is_dear = parameters * self.shown.shape[-1] * self.shown.shape[-2] > DEAR
        self._seen: list[tuple[Tensor, Output]] = []

    @cached_property
    def predictions(self) -> list[Prediction]:
        """Of one small oblong picture; of a square one too where that is not dear."""
        if self.lacks:
            return []
        wanted = self.pictures[:1] if self.is_dear else [self.pictures[0], drawn_picture(48, 48)]
        logits = self.detector.logits

        def watched(batch: Tensor) -> Output:
            self._seen.append((batch, logits(batch)))
            return self._seen[-1][1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.detector, "logits", watched)
            return self.detector.predict(wanted, batch_size=1)

    @cached_property
    def pair(self) -> Tensor:
        """Two different pictures as the network sees them; smaller than it usually does, if it takes that."""
        for side in SIDES:
            if side < min(self.shown.shape[-2:]):
                small = F.interpolate(self.shown, (side, side), mode="bilinear", antialias=True)
                try:
                    self.detector.logits(small[:1])
                except (
                    FauxlensError,
                    RuntimeError,
                    ValueError,
                ):  # a network of one size; at that size nothing is forgiven
                    continue
                return small
        return self.shown

    @cached_property
    def alone(self) -> Output:
        """The first of the pair, alone."""
        assert self.predictions or self.lacks
        for batch, output in self._seen:
            if torch.equal(batch, self.pair[:1]):
                return output
        return self.detector.logits(self.pair[:1])

    @cached_property
    def channels_last(self) -> Output:
        """The pair, with the numbers of a pixel side by side in memory."""
        return self.detector.logits(self.pair.contiguous(memory_format=torch.channels_last))

    @property
    def is_costly(self) -> bool:
        """Dear, and of one size: each answer is a matter of seconds."""
        return self.is_dear and self.pair is self.shown

    @cached_property
    def together(self) -> Output:
        """The pair in one batch; where that is costly, the one that lies otherwise in memory serves for both."""
        return self.channels_last if self.is_costly else self.detector.logits(self.pair)

    def forget(self) -> None:
        """Give the memory back before the next one is built."""
        self.__dict__.clear()
        gc.collect()


def check_predictions(asked: Asked) -> None:
    """Maps at the size of the file, shares from 0 to 1, what the card promises, and a warning.

    A detector that needs more than its weights says so instead, with the next step.
    """
    if asked.lacks:
        with pytest.raises(NoWeights) as refused:
            asked.detector.predict(asked.pictures[:1])
        assert refused.value.hint
        return
    assert asked.predictions
    sizes = [(43, 70), (48, 48)]
    for found, size in zip(asked.predictions, sizes, strict=False):
        assert found.detector == asked.name
        assert found.weights_sha256 is None
        assert RANDOM in found.notes
        assert found.seconds > 0
        assert (found.probability is None) == (found.logit is None)
        if found.logit is not None:
            assert np.isfinite(found.logit)
            assert 0 <= found.probability <= 1
        elif "detect" in asked.card.tasks:
            assert any(note.startswith("no verdict: ") for note in found.notes), "silent, and does not say why"
        assert ("localise" in asked.card.tasks) == (found.mask is not None)
        if found.mask is not None:
            assert found.mask.shape == size
            seen = found.mask[~np.isnan(found.mask)]  # NaN is what nobody looked at
            assert seen.size
            assert 0 <= seen.min() <= seen.max() <= 1
        if found.confidence is not None:
            assert found.confidence.shape == size
            assert 0 <= found.confidence.min() <= found.confidence.max() <= 1
        if "trace" in asked.card.tasks:
            assert found.trace is not None
        if found.trace is not None:
            assert found.trace.shape == size
            assert np.isfinite(found.trace).all()
        assert ("identify" in asked.card.tasks) == (found.generators is not None)
        if found.generators is not None:
            assert tuple(found.generators) == asked.detector.generator_names()
            assert sum(found.generators.values()) == pytest.approx(1)


def check_output(asked: Asked) -> None:
    """One row a picture, maps at the size of what came in, and the answer depends on the picture."""
    rows, height, width = len(asked.pair), *asked.pair.shape[-2:]
    found = {name: getattr(asked.together, name) for name in FIELDS}
    told = {name: value for name, value in found.items() if value is not None}
    assert told
    shapes = {
        "logit": (rows,),
        "mask": (rows, 1, height, width),
        "trace": (rows, 1, height, width),
        "confidence": (rows, 1, height, width),
    }
    for name, value in told.items():
        assert torch.isfinite(value).all(), name
        assert value.shape[0] == rows, name
        assert tuple(value.shape) == shapes.get(name, tuple(value.shape)), name
        assert not value.requires_grad
    assert any(not torch.equal(value[0], value[1]) for value in told.values()), "blind to the picture"


def check_alone_or_together(asked: Asked) -> None:
    """A picture gets the same answer whatever stands beside it."""
    _assert_alike(asked.together, asked.alone, "together", LAID_OTHERWISE if asked.is_costly else ALIKE)


def check_layout(asked: Asked) -> None:
    """A picture gets the same answer however it lies in memory."""
    _assert_alike(asked.channels_last, asked.alone, "channels last", LAID_OTHERWISE)


def check_again(asked: Asked) -> None:
    """The same seed draws the same network, and the same network says the same, to the last bit.

    Huge networks are not built twice, and those whose answers are costly are not asked twice.
    """
    if asked.is_huge and asked.is_costly:
        pytest.skip("a huge network of one size")
    again = asked.detector
    if not asked.is_huge:
        again = load(asked.name, "random", setting=asked.setting, seed=3)
        state, other = asked.detector.network.state_dict(), again.network.state_dict()
        assert all(torch.equal(state[key], other[key]) for key in state)
    if asked.is_costly:
        return
    if asked.is_dear or asked.lacks:
        _assert_alike(again.logits(asked.pair[:1]), asked.alone, "again", share=0)
        return
    for one, two in zip(again.predict(asked.pictures[:1], batch_size=1), asked.predictions, strict=False):
        _assert_alike(_as_output(one), _as_output(two), "again", share=0)


def check_round_trip(asked: Asked, folder: Path) -> None:
    """Its tensors go to a file and come back into a network drawn otherwise, which then says the same.

    Not for huge ones, whose files would take gigabytes: their names and shapes go round in `check_build`.
    """
    if asked.is_huge:
        pytest.skip("a huge network")
    file = folder / "network.safetensors"
    save_file({key: value.clone() for key, value in asked.detector.network.state_dict().items()}, file)
    back = load(asked.name, file, setting=asked.setting, seed=9)
    assert not back.weights.is_random
    assert back.weights.files == (file,)
    assert len(back.weights.sha256) == 64
    _assert_alike(back.logits(asked.pair[:1]), asked.alone, "from a file", share=0)
    file.unlink()


def _as_output(found: Prediction) -> Output:
    def tensor(value: object) -> Tensor | None:
        return None if value is None else torch.as_tensor(value, dtype=torch.float64).nan_to_num(-1)[None]

    generators = None if found.generators is None else list(found.generators.values())
    return Output(
        tensor(found.logit),
        tensor(found.mask),
        tensor(generators),
        tensor(found.trace),
        confidence=tensor(found.confidence),
    )


def _assert_alike(found: Output, wanted: Output, what: str, share: float = ALIKE) -> None:
    compared = 0
    for name in FIELDS:
        one, two = getattr(found, name), getattr(wanted, name)
        assert (one is None) == (two is None), name
        if one is not None:
            worst, largest = float((one[:1] - two[:1]).abs().max()), float(two[:1].abs().max())
            scale = max(largest, SMALL_LOGIT) if name == "logit" else largest
            assert worst <= share * scale, f"{what}: {name} is off by {worst:.3g} of {scale:.3g}"
            compared += 1
    assert compared, "nothing to compare"
