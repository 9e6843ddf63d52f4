"""A network as one ONNX file: what it tells, what it tells of itself, and what becomes of one that says otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drawn import drawn_picture
from fauxlens.core.errors import BadExport, BadSetting, MissingExtra
from fauxlens.detectors import DETECTORS, Card, Detector, Output, Prepared, WeightSet, detector_class, load
from fauxlens.detectors import export as exporting
from fauxlens.detectors.detector import RANDOM, Loaded
from fauxlens.detectors.export import Exported, Parity, export, metadata, scaling
from fauxlens.detectors.view import Pixels, normalised, resized, whole

for module in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module, reason="the extra `export` is not installed")


class Small(nn.Module):
    """Two convolutions; `kind` adds what an exporter stumbles over."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.last = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 1, 1)

    def forward(self, image: Tensor) -> Output:
        if self.kind == "values" and float(image.mean()) > 0:
            image = image * 2
        if self.kind == "sizes" and image.shape[-1] % 4 == 0:
            image = image * 2
        mask = self.last(self.first(image).relu())
        return Output(logit=mask.mean(dim=(1, 2, 3)), mask=nn.functional.interpolate(mask, size=image.shape[-2:]))


class Toy(Detector):
    """Whatever its card says."""

    settings = ("native", "resized", "values", "sizes", "one")
    card: ClassVar[Card] = Card(
        name="toy", title="Toy", year=2020, family="toy", tasks=("detect",), paper="none", about="", input="RGB",
        parameters=117, code="none",
        weights=(
            WeightSet(name="held", files=(), licence="CC BY 4.0", use="attribution", terms="name us", trained_on="toys",
                      labels=("real", "fake")),
        ),
    )  # fmt: skip

    def __init__(self, setting: str | None = None) -> None:
        torch.manual_seed(7)
        super().__init__(setting)
        if self.setting == "one":
            self.batch_limit = 1  # type: ignore[misc]

    def build(self) -> nn.Module:
        return Small(self.setting)

    def prepare(self, pixels: Pixels) -> Prepared:
        if self.setting == "resized":
            return resized(pixels, (40, 48), normalised)
        return whole(pixels, normalised)


def asked(path: Path, batch: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """ONNX Runtime's answer, asked as a user of the file would."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": batch.numpy()}), strict=True))


def told_by(path: Path) -> dict[str, str]:
    import onnx

    return {one.key: one.value for one in onnx.load(path, load_external_data=False).metadata_props}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def nano(folder: Path) -> tuple[Detector, Exported]:
    detector = load("nfa-vit", "random", setting="nano", seed=5)
    return detector, export(detector, folder / "nano.onnx", side=64)


def test_nfa_vit_says_the_same_in_onnx(nano: tuple[Detector, Exported]) -> None:
    detector, done = nano
    assert done.agrees is True
    assert (done.example, done.dynamic) == ((2, 3, 64, 64), ("batch",))
    assert done.inputs == {"image": ("batch", 3, 64, 64)}
    assert done.outputs == {"logit": ("batch",), "mask": ("batch", 1, 64, 64), "features": ("batch", 160)}
    assert [one.output for one in done.parity] == ["logit", "mask", "features"]
    assert all(0 < one.share < 1e-4 for one in done.parity)
    # A batch size and pictures that neither the trace nor the comparison saw.
    views = [detector.prepare(drawn_picture(64, 64)[::step, ::step]).views[0] for step in (1, -1)]
    batch = torch.stack([view.tensor() for view in views] * 2 + [torch.zeros(3, 64, 64)])
    found, wanted = asked(done.path, batch), detector.logits(batch)
    assert set(found) == {"logit", "mask", "features"}
    for name, value in found.items():
        expected = getattr(wanted, name).numpy()
        assert value.shape == expected.shape
        assert np.abs(value - expected).max() < 1e-4 * np.abs(expected).max(), name


def test_the_file_is_one_and_tells_of_itself(nano: tuple[Detector, Exported], folder: Path) -> None:
    _, done = nano
    assert [one.name for one in folder.iterdir() if one.name.startswith(("nano", "."))] == ["nano.onnx"]
    assert done.bytes == done.path.stat().st_size > 4 * 1_000_000
    held = told_by(done.path)
    assert held == done.metadata
    assert (held["detector"], held["setting"], held["weights_sha256"]) == ("nfa-vit", "nano", "")
    assert held["warning"] == held["terms"] == RANDOM
    assert RANDOM in done.notes
    assert held["input"] == detector_class("nfa-vit").card.input


def test_a_resnet_is_asked_through_its_metadata_alone(folder: Path) -> None:
    detector = load("npr", "random", seed=5)
    detector.weights = Loaded("progan", "0" * 64)
    done = export(detector, folder / "npr.onnx")
    assert (done.agrees, done.dynamic) == (True, ("batch",))
    held = told_by(done.path)
    assert held["weights_sha256"] == "0" * 64
    pixels = drawn_picture(256, 256)
    mean, deviation = (np.array(json.loads(held[name]), np.float32) for name in ("mean", "deviation"))
    assert held["channels"] == "RGB"
    shown = ((pixels / np.float32(255) - mean) / deviation).transpose(2, 0, 1)[None].astype(np.float32)
    (wanted,) = detector.predict([pixels])
    assert wanted.logit is not None
    found = asked(done.path, torch.from_numpy(shown).expand(4, -1, -1, -1).contiguous())["logit"]
    assert found.shape == (4,)
    assert np.abs(found - wanted.logit).max() < 1e-3 * abs(wanted.logit)


def test_any_size_where_the_network_takes_any(tmp_path: Path) -> None:
    done = export(Toy(), tmp_path / "toy.onnx")
    assert (done.agrees, done.dynamic) == (True, ("batch", "height", "width"))
    assert done.inputs["image"] == ("batch", 3, "height", "width")
    batch = torch.rand(2, 3, 71, 130)
    wanted = Toy().logits(batch)
    assert wanted.mask is not None
    assert np.abs(asked(done.path, batch)["mask"] - wanted.mask.numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("setting", "side", "shape", "note"),
    [
        ("resized", None, ("batch", 3, 40, 48), ""),
        ("native", 80, ("batch", 3, 80, 80), ""),
        ("sizes", None, ("batch", 3, 256, 256), "only 256x256: the network's path depends on the size"),
        ("one", 72, (1, 3, 72, 72), "one picture at a time, as the detector itself works"),
    ],
)
def test_what_is_fixed_is_said(
    setting: str, side: int | None, shape: tuple[int | str, ...], note: str, tmp_path: Path
) -> None:
    done = export(Toy(setting), tmp_path / "toy.onnx", side=side)
    assert done.agrees is True
    assert done.inputs == {"image": shape}
    assert [one for one in done.notes if one != RANDOM and not one.startswith(note or " ")] == []
    assert any(one.startswith(note) for one in done.notes)


def test_an_opset_that_is_asked_for(tmp_path: Path) -> None:
    assert export(Toy("resized"), tmp_path / "toy.onnx", opset=18).opset == 18
    for wrong in (9, 99):
        with pytest.raises(BadSetting, match=rf"opset is out of range \(wanted 18 to 23, got {wrong}\)"):
            export(Toy("resized"), tmp_path / "other.onnx", opset=wrong)
    assert [one.name for one in tmp_path.iterdir()] == ["toy.onnx"]


def test_a_file_that_says_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = exporting._converted

    def mutated(*given: Any) -> Any:
        converted = original(*given)
        weight = converted.model.graph.initializers["network.first.weight"]
        numbers = weight.const_value.numpy().copy()
        numbers[0, 0, 1, 1] += 0.01
        weight.const_value = type(weight.const_value)(torch.from_numpy(numbers), name=weight.name)
        return converted

    (tmp_path / "toy.onnx").write_bytes(b"an older file")
    monkeypatch.setattr(exporting, "_converted", mutated)
    with pytest.raises(BadExport, match="does not say what the network says, and is not kept: logit off by") as refused:
        export(Toy("resized"), tmp_path / "toy.onnx")
    assert "--no-check" in str(refused.value)
    assert "rounding explains" in str(refused.value)
    assert [one.name for one in tmp_path.iterdir()] == ["toy.onnx"]
    assert (tmp_path / "toy.onnx").read_bytes() == b"an older file"
    done = export(Toy("resized"), tmp_path / "toy.onnx", check=False)
    assert (done.agrees, done.parity) == (None, ())
    assert exporting.UNCHECKED in done.notes
    assert told_by(tmp_path / "toy.onnx")["detector"] == "toy"


def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.onnx"
    with pytest.raises(BadExport, match="torch cannot write toy as ONNX: ") as refused:
        export(Toy("values"), path, side=64)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadSetting, match="lgrad cannot be exported: its answer rests on a gradient"):
        exporting.refuse(detector_class("lgrad"), path)
    with pytest.raises(BadSetting, match=r"called .onnx \(got .pt\)"):
        export(Toy(), tmp_path / "x.pt")
    with pytest.raises(BadSetting, match="side is out of range"):
        export(Toy(), path, side=0)
    monkeypatch.setattr(exporting, "MOST_BYTES", 400)
    with pytest.raises(BadSetting, match=r"too large for one .onnx file \(wanted at most 400 bytes, got 468\)"):
        export(Toy(), path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_next_step_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("onnxscript", "onnxruntime"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtra, match=module) as refused:
                export(Toy(), tmp_path / "toy.onnx")
            assert refused.value.hint == 'pip install "fauxlens[export]"'
    assert list(tmp_path.iterdir()) == []


# --- metadata ---


def test_the_owner_and_the_terms_go_with_the_file() -> None:
    detector = Toy()
    detector.weights = Loaded("held", "ab" * 32)
    held = metadata(detector)
    assert (held["licence"], held["use"], held["terms"]) == ("CC BY 4.0", "attribution", "name us")
    assert json.loads(held["labels"]) == ["real", "fake"]
    assert held["weights_sha256"] == "ab" * 32
    assert "warning" not in held
    detector.weights = Loaded("mine.pth", "cd" * 32)
    assert metadata(detector)["licence"] == "not known"


@pytest.mark.parametrize(
    ("name", "channels", "mean", "deviation"),
    [
        ("npr", "RGB", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("noiseprint++", "RGB", [0, 0, 0], [256 / 255] * 3),
        ("gramnet", "BGR", [0, 0, 0], [1 / 255] * 3),
        ("pscc-net", "RGB", [0, 0, 0], [1, 1, 1]),
    ],
)
def test_how_a_picture_is_scaled_is_found(
    name: str, channels: str, mean: Sequence[float], deviation: Sequence[float]
) -> None:
    found = scaling(load(name, "random"))
    assert found["channels"] == channels
    assert json.loads(found["mean"]) == pytest.approx(mean, abs=2e-6)
    assert json.loads(found["deviation"]) == pytest.approx(deviation, abs=2e-6)


def test_no_line_is_told_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Toy()
    monkeypatch.setattr(detector, "prepare", lambda pixels: whole(pixels, lambda p: normalised(p).square()))
    assert scaling(detector) == {}


def test_every_refusal_is_a_reason() -> None:
    refused = {name: detector_class(name).no_export for name in DETECTORS if detector_class(name).no_export}
    assert "lgrad" in refused
    assert "nfa-vit" not in refused
    assert all(reason[0].islower() and not reason.endswith(".") for reason in refused.values())


# --- networks that choose ---


class Chooser(nn.Module):
    """Looks where its four weights are smallest: at one place in four, two of which weigh the same."""

    weights = torch.tensor([[[[0.1, 0.1, 0.3, 0.5]]]])
    seen = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(self, image: Tensor, guides: Sequence[Tensor] | None = None) -> Output:
        guide = self.guide(0) if guides is None else guides[0]
        return Output(logit=((guide == 0) * self.seen).sum(dim=(1, 2, 3)).to(image.dtype))

    def with_choices(self, image: Tensor) -> tuple[Output, list[Tensor], list[Tensor]]:
        return self(image), [self.guide(0)], [self.weights.to(image.dtype)]

    @staticmethod
    def guide(chosen: int) -> Tensor:
        return torch.full((1, 1, 1, 4), -1e38).index_fill(-1, torch.tensor([chosen]), 0.0)


def chosen(logit: float, place: int, weights: Tensor) -> exporting.Choices:
    """What is said of a file that chose `place` by `weights` and answered `logit`; the network chose 0 and said 1."""
    answer = torch.tensor([logit])
    opened = [answer, Chooser.guide(place), weights]
    return exporting._choices(Chooser(), torch.zeros(1, 3, 8, 8), ["logit"], {"logit": answer}, opened)


def test_another_choice_between_equals_is_no_fault() -> None:
    assert chosen(1.0, 0, Chooser.weights) == exporting.Choices(
        0.0, Parity("weights", 0.0, 0.5), (Parity("logit", 0.0, 1.0),), True
    )
    other = chosen(2.0, 1, Chooser.weights)
    assert other.agrees
    assert other.differing == 0.5


def test_every_other_difference_is_one() -> None:
    # A place that does not weigh the same; an answer that the choice does not explain; weights that are not those.
    assert not chosen(3.0, 2, Chooser.weights).agrees
    assert not chosen(1.0, 1, Chooser.weights).agrees
    assert not chosen(2.0, 1, Chooser.weights + torch.tensor([0.0, -1e-3, 0.0, 0.0])).agrees
    # Two places in place of one.
    both = torch.tensor([[[[0.0, 0.0, -1e38, -1e38]]]])
    opened = [torch.tensor([3.0]), both, Chooser.weights]
    found = exporting._choices(Chooser(), torch.zeros(1, 3, 8, 8), ["logit"], {"logit": opened[0]}, opened)
    assert not found.agrees


def test_rounding_excuses_as_much_as_it_explains() -> None:
    assert Parity("mask", 2.9e-3, 1.0, 1e-3).agrees
    assert not Parity("mask", 3.1e-3, 1.0, 1e-3).agrees
    assert not Parity("mask", 1.1e-4, 1.0).agrees
    assert Parity("mask", 0.9e-4, 1.0).agrees
    assert Parity("mask", 0.0, 0.0).agrees
    assert not Parity("mask", float("inf"), 1.0, 1.0).agrees
