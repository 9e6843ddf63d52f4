"""NFA-ViT as a detector: any size, alone or in a batch, tiles, memory that ends, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape, OutOfMemory, UnknownName
from fauxlens.detectors import Output, load
from fauxlens.detectors.detector import PIXELS_AT_ONCE
from fauxlens.detectors.nfa_vit import SETTINGS, NfaSettings, NfaVit, NfaVitDetector, Showing, pixels_of
from fauxlens.detectors.view import normalised
from fauxlens.nn.mix_transformer import MixSettings


def drawn(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def nano() -> NfaVitDetector:
    detector = load("nfa-vit", "random", setting="nano")
    assert isinstance(detector, NfaVitDetector)
    return detector


def small(**changed: object) -> NfaVit:
    """The published form with narrow stages, for what does not depend on width."""
    image = MixSettings(dims=(8, 16, 24, 32), depths=(2, 2, 2, 2), heads=(1, 2, 3, 4), drop_path=0.0)
    noise = MixSettings(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), heads=(1, 2, 3, 4), in_channels=1, drop_path=0.0)
    given = {"image": image, "noise": noise, "decoder_width": 16, "first_gamma": 0.25, **changed}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NfaVit(NfaSettings(**given)).eval()  # type: ignore[arg-type]


def shaken(network: nn.Module) -> nn.Module:
    """Weights large enough that the answer depends on the picture."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * (2 / parameter[0].numel()) ** 0.5)
    return network


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (100, 100), (65, 130), (128, 64)])
def test_any_sides_from_64_on(size: tuple[int, int]) -> None:
    output = small()(torch.randn(2, 3, *size))
    assert output.logit.shape == (2,)
    assert output.mask.shape == (2, 1, *size)
    assert bool(torch.isfinite(output.mask).all())


@pytest.mark.parametrize("setting", ["published", "paper", "nano"])
def test_settings_differ_as_their_names_say(setting: str) -> None:
    with torch.device("meta"):
        network = NfaVit(SETTINGS[setting])
    assert (network.seg_decoder.norm is None) == (setting == "paper")
    assert SETTINGS[setting].red_added == (setting != "paper")
    assert SETTINGS[setting].loss_weights == ((1.0, 0.5) if setting == "published" else (1.0, 1.0))


def test_nano_fits_into_sixteen_megabytes(nano: NfaVitDetector) -> None:
    assert sum(tensor.numel() for tensor in nano.network.state_dict().values()) * 2 <= 16_000_000


def test_the_paper_feeds_the_extractor_what_it_was_trained_on() -> None:
    pixels = drawn(64, 64)
    seen: list[Tensor] = []
    network = small(noise_input="rgb256", red_added=False)
    network.noise_extractor.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network.noise(normalised(pixels)[None])
    assert torch.allclose(seen[0][0], torch.from_numpy(pixels).permute(2, 0, 1) / 256.0, atol=1e-6)


def test_normalising_is_undone() -> None:
    pixels = drawn(8, 9)
    back = pixels_of(normalised(pixels)[None])[0].permute(1, 2, 0)
    assert torch.allclose(back, torch.from_numpy(pixels).float(), atol=1e-3)


@pytest.mark.parametrize("form", ["small", "nano"])
def test_alone_or_in_a_batch(form: str, nano: NfaVitDetector) -> None:
    network = shaken(small()) if form == "small" else nano.network
    batch = torch.randn(3, 3, 96, 128, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        together = network(batch)
        alone = [network(batch[k : k + 1]) for k in range(3)]
        laid_out = network(batch.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(together.logit, torch.cat([one.logit for one in alone]), atol=1e-5)
    assert torch.allclose(together.mask, torch.cat([one.mask for one in alone]), atol=1e-5)
    assert torch.allclose(together.mask, laid_out.mask, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("side", [128, 200])
def test_fresh_weights_alone_or_in_a_batch(side: int) -> None:
    """Their noise tokens lie so close together that last digits decide where to look: those must not change."""
    network = load("nfa-vit", "random").network
    batch = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        together = network(batch)
        alone = [network(batch[k : k + 1]) for k in range(3)]
        laid_out = network(batch.contiguous(memory_format=torch.channels_last))
    for found in (torch.cat([one.mask for one in alone]), laid_out.mask):
        assert torch.allclose(together.mask, found, atol=1e-5)
    assert torch.allclose(together.logit, torch.cat([one.logit for one in alone]), atol=1e-5)


def test_a_guide_is_used_up_before_the_next_is_asked_for() -> None:
    """The noise of the next stage rests on values that are summed while the guide's parts are made."""
    network = small()
    with torch.inference_mode():
        stages = network.noise_backbone.parts(network.noise(torch.zeros(1, 3, 96, 64)))
        next(stages)
        with pytest.raises(RuntimeError, match="not used up"):
            next(stages)


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(BadShape, match="N at least 1"):
        small()(torch.zeros(0, 3, 96, 64))


def test_weights_loaded_later_count_at_once() -> None:
    """Whatever is folded for speed must not outlive the weights it was made of."""
    first, other = small(), shaken(small())
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        before = first(image).mask
        wanted = other(image).mask
    first.load_state_dict(other.state_dict())
    for parameter in first.parameters():
        parameter.data = parameter.data.clone()  # an edit that no version counter sees
    with torch.inference_mode():
        after = first(image).mask
    assert torch.equal(after, wanted)
    assert not torch.allclose(after, before)


def test_batch_norm_folded_is_batch_norm_computed() -> None:
    extractor = small().noise_extractor.layers
    for layer in extractor:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    image = torch.randn(1, 3, 24, 32).double()
    extractor.double()
    assert torch.allclose(extractor(image), nn.Sequential(*extractor)(image), atol=1e-10)


def test_training_updates_batch_statistics_as_released_and_frozen_does_not() -> None:
    network = small().train()
    before = network.noise_extractor.layers[3].running_mean.clone()
    network(torch.randn(2, 3, 64, 64))
    assert not torch.equal(network.noise_extractor.layers[3].running_mean, before)
    frozen = small()
    frozen.frozen_noise = True
    frozen.train()
    before = frozen.noise_extractor.layers[3].running_mean.clone()
    frozen(torch.randn(2, 3, 64, 64))
    assert torch.equal(frozen.noise_extractor.layers[3].running_mean, before)


def test_the_noise_branch_has_no_gradient() -> None:
    network = small().train()
    output = network(torch.randn(2, 3, 64, 64))
    (output.mask.square().mean() + output.logit.square().mean()).backward()
    branches = {name.partition(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert branches == {"image_backbone", "seg_decoder", "cls_decoder"}


def test_masks_come_back_at_the_size_of_the_file(nano: NfaVitDetector) -> None:
    pictures = [drawn(70, 90), drawn(600, 540), drawn(5, 3)]
    told = nano.predict(pictures, ids=["a", "b", "c"])
    assert [one.sample_id for one in told] == ["a", "b", "c"]
    for picture, one in zip(pictures, told, strict=True):
        assert one.mask is not None
        assert one.mask.shape == picture.shape[:2]
        assert 0 <= one.mask.min() <= one.mask.max() <= 1
        assert one.probability is not None
        assert 0 <= one.probability <= 1
        assert "random weights: these numbers mean nothing" in one.notes
    assert any(note.startswith("seen in 4 tiles of at most ") for note in told[1].notes)
    assert "padded from 3x5 to 64x64" in told[2].notes


@pytest.mark.parametrize(
    ("fit", "note"), [("resize", "resized from 90x70 to 64x64"), ("pad", "padded from 90x70 to 90x90"), ("native", "")]
)
def test_ways_to_show_a_picture(nano: NfaVitDetector, fit: str, note: str) -> None:
    was, nano.showing = nano.showing, Showing(fit=fit, side=64)  # type: ignore[arg-type]
    try:
        told = nano.predict([drawn(70, 90)])[0]
    finally:
        nano.showing = was
    assert told.mask is not None
    assert told.mask.shape == (70, 90)
    assert (note in told.notes) if note else len(told.notes) == 1


def test_tiles_that_cover_one_window_change_nothing(nano: NfaVitDetector) -> None:
    """A picture as large as a tile is the same tiled and not."""
    picture = drawn(128, 128)
    was = nano.showing
    try:
        nano.showing = Showing(fit="tile", side=128, overlap=32)
        tiled = nano.predict([picture])[0]
        nano.showing = Showing(fit="native")
        native = nano.predict([picture])[0]
    finally:
        nano.showing = was
    assert np.array_equal(tiled.mask, native.mask)
    assert tiled.logit == native.logit


def test_memory_that_ends_halves_the_batch(nano: NfaVitDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[Tensor], Output] = nano.network.forward
    seen: list[int] = []

    def scarce(batch: Tensor) -> Output:
        seen.append(batch.shape[0])
        if batch.shape[0] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(batch)

    pictures = [drawn(64, 64, seed) for seed in range(4)]
    wanted = [one.logit for one in nano.predict(pictures)]
    monkeypatch.setattr(nano.network, "forward", scarce)
    found = [one.logit for one in nano.predict(pictures, batch_size=4)]
    assert found == pytest.approx(wanted, abs=1e-5)
    assert seen == [4, 2, 1, 1, 1, 1]


def test_one_picture_that_does_not_fit_says_so(nano: NfaVitDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(batch: Tensor) -> Output:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(nano.network, "forward", none_left)
    with pytest.raises(OutOfMemory, match="nfa-vit ran out of memory on one view of 64x64"):
        nano.predict([drawn(64, 64)])


@pytest.mark.usefixtures("four_threads")
def test_small_tiles_are_seen_side_by_side(nano: NfaVitDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[Tensor], Output] = nano.network.forward
    seen: list[tuple[int, int, int]] = []

    def watched(batch: Tensor) -> Output:
        seen.append((threading.get_ident(), torch.get_num_threads(), batch.shape[0]))
        return real(batch)

    monkeypatch.setattr(nano.network, "forward", watched)
    monkeypatch.setattr(nano, "showing", Showing(fit="tile", side=128, overlap=32))
    monkeypatch.setitem(PIXELS_AT_ONCE, "cpu", 2 * 128**2)
    picture = drawn(128, 320)
    found = nano.predict([picture])[0]
    assert len({thread for thread, _, _ in seen[:2]} - {threading.get_ident()}) == 2
    assert [(threads, count) for _, threads, count in seen] == [(2, 1), (2, 1), (4, 1)]  # the odd one has all threads
    assert torch.get_num_threads() == 4
    seen.clear()
    monkeypatch.setattr(nano, "side_by_side", False)
    together = nano.predict([picture])[0]
    assert [count for _, _, count in seen] == [2, 1]
    assert found.mask == pytest.approx(together.mask, abs=1e-5)
    assert found.logit == pytest.approx(together.logit, abs=1e-5)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("fault", ["memory", "another"])
def test_what_goes_wrong_side_by_side(fault: str, nano: NfaVitDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [drawn(64, 64, seed) for seed in range(3)]
    wanted = [one.logit for one in nano.predict(pictures, batch_size=1)]
    real: Callable[[Tensor], Output] = nano.network.forward
    home, alone = threading.get_ident(), []

    def scarce(batch: Tensor) -> Output:
        if threading.get_ident() != home:
            raise MemoryError("alloc_cpu") if fault == "memory" else RuntimeError("shapes differ")
        alone.append(batch.shape[0])
        return real(batch)

    monkeypatch.setattr(nano.network, "forward", scarce)
    if fault == "another":
        with pytest.raises(RuntimeError, match="shapes differ"):
            nano.predict(pictures)
    else:
        assert [one.logit for one in nano.predict(pictures)] == pytest.approx(wanted, abs=1e-5)
        assert alone
    assert torch.get_num_threads() == 4


def test_an_error_of_another_kind_is_not_taken_for_memory(
    nano: NfaVitDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(batch: Tensor) -> Output:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(nano.network, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        nano.predict([drawn(64, 64)])


def test_what_is_refused(nano: NfaVitDetector) -> None:
    with pytest.raises(BadShape, match=r"too small for four stages .*got 63x64"):
        nano.network(torch.zeros(1, 3, 64, 63))
    with pytest.raises(BadShape, match="batches of RGB"):
        nano.network(torch.zeros(1, 1, 64, 64))
    with pytest.raises(BadShape, match="RGB tensors"):
        nano.logits(torch.zeros(3, 64, 64))
    with pytest.raises(BadShape, match="takes a list"):
        nano.predict(drawn(64, 64))  # type: ignore[arg-type]
    with pytest.raises(BadShape, match=r"RGB pixels .*got \(64, 64\) uint8"):
        nano.predict([drawn(64, 64)[..., 0]])
    with pytest.raises(BadSetting, match="batch_size"):
        nano.predict([], batch_size=0)
    with pytest.raises(UnknownName, match="no setting of nfa-vit called 'nana'"):
        load("nfa-vit", "random", setting="nana")
    with pytest.raises(BadSetting, match="no device called 'gpu5'"):
        load("nfa-vit", "random", device="gpu5")
    with pytest.raises(BadSetting, match="share is out of range"):
        small(share=0.0)
    with pytest.raises(BadSetting, match="side is out of range"):
        Showing(side=32)


def test_without_guidance_the_noise_branch_is_not_run() -> None:
    network = small(guided=False)
    network.noise_backbone.register_forward_pre_hook(lambda *_: pytest.fail("it was run"))
    network.noise_extractor.register_forward_pre_hook(lambda *_: pytest.fail("it was run"))
    assert bool(torch.isfinite(network(torch.randn(1, 3, 64, 64)).mask).all())


def test_autocast_leaves_the_noise_branch_alone() -> None:
    network = shaken(small())
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    kinds: list[torch.dtype] = []
    network.noise_backbone.patch_embed1.register_forward_pre_hook(lambda _, given: kinds.append(given[0].dtype))
    with torch.inference_mode():
        full = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(image)
    assert kinds == [torch.float32, torch.float32]
    assert not torch.equal(full.mask, half.mask.float())
    assert np.corrcoef(full.mask.flatten(), half.mask.float().flatten())[0, 1] > 0.99


def test_compiled_gives_the_same() -> None:
    network = shaken(small())
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    compiled = torch.compile(network.image_backbone, backend="eager")
    with torch.inference_mode():
        guides = network.noise_backbone.guides(network.noise(image))
        plain = network.image_backbone(image, "fix-sparse", guides)
        traced = compiled(image, "fix-sparse", guides)
    for one, other in zip(plain, traced, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_guidance_is_an_option() -> None:
    detector = load("nfa-vit", "random", setting="nano")
    network = detector.network
    assert isinstance(network, NfaVit)
    assert isinstance(detector, NfaVitDetector)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = torch.randn(1, 3, 128, 128)
    assert detector.guidance == 25
    attended = {}
    for percent, keys in ((10, 1), (25, 4), (50, 8), (100, 16)):  # of the sixteen keys of the first stage at 128 pixels
        assert detector.change(guidance=percent).guidance == percent
        _, guides, _ = network.with_choices(image)
        attended[percent] = int((guides[0] == 0).sum(-1).unique())
        assert attended[percent] == keys
    detector.change(guidance="none")
    assert detector.guidance is None
    network.noise_backbone.register_forward_pre_hook(lambda *_: pytest.fail("the noise branch was run"))
    network(image)
    assert detector.change(guidance=25).guidance == 25
    # Another share is another way to ask: the weights are the same, and load into either.
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(BadSetting, match=r"guidance cannot be that .*from 1 to 100 or none"):
        detector.change(guidance=101)
