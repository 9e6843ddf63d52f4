"""From the files that owners publish to a detector with its weights in place, and what is told when they do not fit."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadWeights, FetchError, NoWeights, UnknownName
from fauxlens.core.files import sha256_of
from fauxlens.detectors import Card, Detector, Output, Prepared, hub, load
from fauxlens.detectors import store as stores
from fauxlens.detectors.card import WeightFile, WeightSet
from fauxlens.detectors.checkpoint import read_tensors
from fauxlens.detectors.detector import RANDOM
from fauxlens.detectors.importing import asked_for, import_files
from fauxlens.detectors.inventory import entries, verify_store
from fauxlens.detectors.nfa_vit import NfaVitDetector
from fauxlens.detectors.segformer import segformer_names
from fauxlens.detectors.table import DETECTORS
from fauxlens.detectors.view import Pixels, normalised, resized
from fauxlens.nn.mix_transformer import MixSettings, MixTransformer, mix_b0, mix_b2


def weight_set(name: str, *files: WeightFile, setting: str | None = None) -> WeightSet:
    return WeightSet(
        name=name, files=files, licence="MIT", use="open", terms="keep it", trained_on="toys", setting=setting
    )


def file(name: str, part: str = "", **more: Any) -> WeightFile:
    return WeightFile(name=name, source="https://example.org/toy", part=part, **more)


class ToyNetwork(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, width)
        self.head = nn.Linear(width, 1)

    def forward(self, batch: Tensor) -> Output:
        return Output(logit=self.head(self.trunk(batch.mean(dim=(2, 3))))[:, 0])


class Toy(Detector):
    settings = ("narrow", "wide")
    card = Card(
        name="toy", title="Toy", year=2026, family="toy", tasks=("detect",), paper="none", about="none", input="none",
        parameters=21, code="none",
        weights=(
            weight_set("first", file("first.pth", hub="owner/toy")),
            weight_set("second", file("second.pth", hub="owner/toy", hub_name="model.safetensors", revision="abc")),
            weight_set("parts", file("trunk.pth", "trunk."), file("head.pth", "head.", hub="owner/head")),
            weight_set("large", file("large.pth"), setting="wide"),
            weight_set("start", file("start.pth", "trunk.")),
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        return ToyNetwork(4 if self.setting == "narrow" else 6)

    def prepare(self, pixels: Pixels) -> Prepared:
        return resized(pixels, (8, 8), normalised)

    def convert(
        self, state: dict[str, Tensor], weights: WeightSet | None, file: WeightFile | None
    ) -> dict[str, Tensor]:
        if "old.weight" in state:
            return {"trunk.weight": state.pop("old.weight"), "trunk.bias": state.pop("old.bias"), **state}
        return state


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A detector in the table that has five sets of weights, and an empty store."""
    monkeypatch.setitem(sys.modules, "toy_detector", SimpleNamespace(Toy=Toy))  # type: ignore[arg-type]
    monkeypatch.setitem(DETECTORS, "toy", "toy_detector:Toy")
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))
    return tmp_path


def state(seed: int = 1, width: int = 4) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return dict(ToyNetwork(width).state_dict())


def saved(path: Path, held: Any) -> Path:
    torch.save(held, path)
    return path


def part(of: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in of.items() if name.startswith(prefix)}


def same(found: Any, wanted: Any) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


PICTURE = [torch.arange(12 * 15 * 3, dtype=torch.uint8).reshape(12, 15, 3).numpy()]


# What an import does


def test_a_file_becomes_the_detector(toy: Path) -> None:
    path = saved(toy / "first.pth", {"model": {f"module.{name}": value for name, value in state().items()}, "epoch": 3})
    done = import_files("toy/first", [path])
    assert (done.detector, done.set, done.missing) == ("toy", "first", ())
    told = done.files[0]
    assert (told.part, told.tensors, told.numbers, told.is_converted, told.digest_checked) == ("", 4, 21, False, False)
    found = load("toy")
    assert same(found.network.state_dict(), state())
    assert (found.weights.name, found.weights.sha256) == ("first", done.stored.sha256)
    from_file = load("toy", path)
    assert same(from_file.network.state_dict(), state())
    assert (from_file.weights.name, from_file.weights.sha256) == ("first.pth", sha256_of(path))
    assert found.predict(PICTURE)[0].logit == from_file.predict(PICTURE)[0].logit
    assert RANDOM not in found.predict(PICTURE)[0].notes
    assert load("toy", str(path)).weights.files == (path,)


def test_names_are_converted_and_that_is_told(toy: Path) -> None:
    old = {name.replace("trunk.", "old."): value for name, value in state().items()}
    done = import_files("toy/first", [saved(toy / "x.pth", old)])
    assert done.files[0].is_converted
    assert same(load("toy").network.state_dict(), state())


def test_half_precision_becomes_float32(toy: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        held = {name: value.to(dtype) for name, value in state().items()}
        import_files("toy/first", [saved(toy / "x.pth", held)])
        found = load("toy").network.state_dict()
        assert {tensor.dtype for tensor in found.values()} == {torch.float32}
        assert same(found, {name: value.float() for name, value in held.items()})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused_by_name(number: float, toy: Path) -> None:
    held = state()
    held["head.bias"][0] = number
    path = saved(toy / "first.pth", held)
    for way in (lambda: import_files("toy/first", [path]), lambda: load("toy", path)):
        with pytest.raises(BadWeights, match=r"'head\.bias' holds 1 numbers that are NaN or infinite"):
            way()
    # Too large for float32 is infinite there.
    with pytest.raises(BadWeights, match=r"'head\.weight' holds 4"):
        import_files("toy/first", [saved(toy / "x.pth", {n: t.double() * (1e300 if n == "head.weight" else 1)
                                                          for n, t in state().items()})])  # fmt: skip
    assert not (toy / "store").exists()


def test_parts_come_one_by_one_or_together(toy: Path) -> None:
    trunk, head = (saved(toy / f"{name}.pth", part(state(), f"{name}.")) for name in ("trunk", "head"))
    first = import_files("toy/parts", [head])
    assert [one.name for one in first.missing] == ["trunk.pth"]
    with pytest.raises(NoWeights, match="only in part") as lacking:
        load("toy", "parts")
    assert "get trunk.pth from https://example.org/toy" in str(lacking.value)
    assert "`fauxlens weights import toy/parts FILE`" in str(lacking.value)
    assert import_files("toy/parts", [trunk]).missing == ()
    assert same(load("toy", "parts").network.state_dict(), state())
    assert import_files("toy/parts", [trunk, head]).missing == ()
    whole = import_files("toy/parts", [saved(toy / "all.pth", state(2))])
    assert whole.missing == ()
    assert same(load("toy", "parts").network.state_dict(), state(2))


def test_parts_and_the_whole_do_not_mix(toy: Path) -> None:
    trunk = saved(toy / "trunk.pth", part(state(), "trunk."))
    other = saved(toy / "other.pth", part(state(2), "trunk."))
    whole = saved(toy / "all.pth", state())
    with pytest.raises(BadSetting, match="two files are the same part"):
        import_files("toy/parts", [trunk, other])
    with pytest.raises(BadSetting, match="one of the files is the whole network"):
        import_files("toy/parts", [trunk, whole])
    assert not (toy / "store").exists()


def test_nothing_is_written_when_one_of_the_files_is_bad(toy: Path) -> None:
    trunk = saved(toy / "trunk.pth", part(state(), "trunk."))
    bad = saved(toy / "head.pth", {"weight": torch.ones(1, 4)})
    with pytest.raises(
        BadWeights, match=r"head\.pth: the file does not fit toy \(nearest: its part 'head'\): 1 missing \(bias\)"
    ):
        import_files("toy/parts", [trunk, bad])
    assert not (toy / "store").exists()


def test_where_training_starts_is_not_a_detector(toy: Path) -> None:
    import_files("toy/start", [saved(toy / "start.pth", part(state(), "trunk."))])
    found = load("toy", "start", seed=5)
    assert same(part(dict(found.network.state_dict()), "trunk."), part(state(), "trunk."))
    drawn = load("toy", "random", seed=5)
    assert same(part(dict(found.network.state_dict()), "head."), part(dict(drawn.network.state_dict()), "head."))
    assert found.weights.name == "start"
    assert found.weights.is_random
    assert found.predict(PICTURE)[0].notes[-1] == RANDOM


def test_a_published_digest_is_checked(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = saved(toy / "first.pth", state()), saved(toy / "other.pth", state(2))
    sets = (weight_set("first", file("first.pth", sha256=sha256_of(good))), weight_set("second", file("second.pth")))
    monkeypatch.setattr(Toy, "card", replace(Toy.card, weights=sets))
    with pytest.raises(BadWeights, match="not the file that its owner published") as refused:
        import_files("toy/first", [bad])
    assert (refused.value.wanted, refused.value.got) == (sha256_of(good), sha256_of(bad))
    assert import_files("toy/first", [good]).files[0].digest_checked
    # A digest tells which set it is, whatever the file is called now.
    renamed = good.rename(toy / "renamed.pth")
    assert import_files("toy", [renamed]).set == "first"


# Which set, and whose weights


def test_the_name_of_a_file_tells_its_set_and_guessing_does_not(toy: Path) -> None:
    assert import_files("toy", [saved(toy / "second.pth", state())]).set == "second"
    assert import_files("toy", [saved(toy / "whatever.pth", state(width=6))]).set == "large"  # only this one fits
    with pytest.raises(BadSetting, match="the files fit several sets") as asked:
        import_files("toy", [saved(toy / "third.pth", state())])
    assert asked.value.wanted == "toy/first or toy/second"
    assert stores.find("toy", "first") is None


def test_a_set_brings_its_setting_along(toy: Path) -> None:
    import_files("toy/large", [saved(toy / "large.pth", state(width=6))])
    assert load("toy", "large").setting == "wide"
    assert load("toy", setting="wide").weights.name == "large"
    with pytest.raises(BadSetting, match="belong to another setting"):
        load("toy", "large", setting="narrow")


def test_what_does_not_fit_is_told_with_whom_it_fits(toy: Path) -> None:
    cases = (
        (state(width=6), "3 of another shape (trunk.weight: wanted 4x3, got 6x3",
         "these tensors fit toy in its setting 'wide'"),
        ({**state(), "extra": torch.ones(1)}, "1 unexpected (extra)", None),
        ({n: t for n, t in state().items() if n != "head.bias"}, "1 missing (head.bias)", None),
        (part(state(), "head."), "missing (trunk.weight", "these tensors fit toy/parts"),
        (dict(load("noiseprint++", "random").network.state_dict()), "94 unexpected",
         "these tensors fit nfa-vit/start or noiseprint++"),
    )  # fmt: skip
    for held, message, hint in cases:
        path = saved(toy / "first.pth", held)
        with pytest.raises(BadWeights) as refused:
            import_files("toy/first", [path])
        assert f"{path}: the file does not fit toy: " in refused.value.message
        assert message in refused.value.message
        assert refused.value.hint == hint
        with pytest.raises(BadWeights):
            load("toy", path)


def test_a_part_alone_is_no_detector(toy: Path) -> None:
    with pytest.raises(BadWeights, match=r"holds only a part of toy \('head'\)") as told:
        load("toy", saved(toy / "head.pth", part(state(), "head.")))
    assert "fauxlens weights import toy FILE..." in str(told.value)


def test_wrong_names(toy: Path) -> None:
    for name, message in (("toyy/first", "Did you mean 'toy'"), ("toy/frist", "Did you mean 'first'")):
        with pytest.raises(UnknownName, match=message):
            import_files(name, [saved(toy / "x.pth", state())])
    for weights in ("frist", "0.5", "v1.2"):
        with pytest.raises(UnknownName, match="set of weights of toy"):
            load("toy", weights)
    for weights in ("nowhere.pth", "folder/x", "x.SAFETENSORS"):
        with pytest.raises(BadWeights, match="cannot be read"):
            load("toy", weights)
    with pytest.raises(BadSetting, match="which files"):
        import_files("toy", [])
    with pytest.raises(NoWeights, match="the weights 'first' of toy are not on this machine") as lacking:
        load("toy")
    assert "`fauxlens weights get toy/first`" in str(lacking.value)
    assert "MIT; keep it" in str(lacking.value)


def test_a_detector_without_any_published_weights(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "card", replace(Toy.card, weights=()))
    path = saved(toy / "own.pth", state())
    with pytest.raises(NoWeights, match="no weights are known for toy"):
        asked_for("toy")
    with pytest.raises(NoWeights, match="no weights are known for toy"):
        load("toy")
    assert same(load("toy", path).network.state_dict(), state())


def test_a_conversion_that_stumbles_is_no_fault_of_ours(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in (KeyError("x"), IndexError("x"), RuntimeError("x"), BadWeights("x")):

        def stumble(*given: object, fault: Exception = fault) -> dict[str, Tensor]:
            raise fault

        monkeypatch.setattr(Toy, "convert", stumble)
        with pytest.raises(BadWeights, match="does not fit toy"):
            import_files("toy/first", [saved(toy / "x.pth", {"a": torch.ones(1)})])
        assert same(load("toy", saved(toy / "y.pth", state())).network.state_dict(), state())


def test_the_same_set_imported_twice_at_once(toy: Path) -> None:
    trunk, head = (saved(toy / f"{name}.pth", part(state(), f"{name}.")) for name in ("trunk", "head"))
    code = "import sys, test_importing as t; t.Toy; from fauxlens.detectors import table, importing\n" \
           "sys.modules['toy_detector'] = t; table.DETECTORS['toy'] = 'toy_detector:Toy'\n" \
           "for _ in range(5): importing.import_files('toy/parts', [sys.argv[1]])"  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment) for path in (trunk, head)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert same(load("toy", "parts").network.state_dict(), state())


# What is on this machine


def test_changed_files_are_not_loaded_and_importing_again_helps(toy: Path) -> None:
    path = saved(toy / "first.pth", state())
    held = import_files("toy/first", [path]).stored
    held.files[""].write_bytes(held.files[""].read_bytes()[:-1] + b"\x01")
    with pytest.raises(BadWeights, match="has changed since it was imported") as told:
        load("toy")
    assert told.value.hint == "import the weights again"
    assert [one.faults for one in verify_store() if one.detector == "toy"] == [
        ("network.safetensors (the network) has changed since it was imported",)
    ]
    import_files("toy/first", [path])
    assert same(load("toy").network.state_dict(), state())
    assert [(one.faults, one.remarks) for one in verify_store() if one.detector == "toy"] == [((), ())]


def test_entries_say_what_is_here(toy: Path) -> None:
    import_files("toy/first", [saved(toy / "first.pth", state())])
    import_files("toy/parts", [saved(toy / "head.pth", part(state(), "head."))])
    card = import_files("toy/second", [saved(toy / "second.pth", state())]).stored.folder / "card.json"
    card.write_text("{")
    import_files("toy/large", [saved(toy / "large.pth", state(width=6))]).stored.files[""].unlink()
    found = {one.weights.name: (one.state, one.missing) for one in entries(Toy)}
    assert found == {
        "first": ("here", ()),
        "second": ("damaged", ("second.pth",)),
        "parts": ("in part", ("trunk.pth",)),
        "large": ("damaged", ()),
        "start": ("not here", ("start.pth",)),
    }
    verified = {one.set: (one.faults, one.remarks) for one in verify_store() if one.detector == "toy"}
    assert verified["first"] == ((), ())
    assert verified["parts"] == ((), ("not imported yet: trunk.pth",))
    assert "the card of these weights cannot be read" in verified["second"][0][0]
    assert verified["large"] == (("network.safetensors (the network) is gone",), ())


def test_verify_tries_the_network_and_the_numbers(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {one.name: one for one in Toy.card.weights}
    stores.put("toy", sets["first"], "", state(width=6))
    held = state()
    held["head.bias"][0] = float("nan")
    stores.put("toy", sets["second"], "", held)
    stores.put("toy", replace(sets["first"], name="later"), "", state())
    stores.put("gone", sets["first"], "", state())
    found = {(one.detector, one.set): one for one in verify_store() if one.detector in ("toy", "gone")}
    assert found["toy", "first"].faults[0].startswith("the weights do not fit: 3 of another shape (trunk.weight")
    assert found["toy", "second"].faults == ("'head.bias' holds 1 numbers that are NaN or infinite",)
    for key in (("toy", "later"), ("gone", "first")):
        assert found[key].faults == ()
        assert "this version of fauxlens knows no such set" in found[key].remarks[0]


# The hub


def test_files_are_fetched_from_a_folder_that_stands_in_for_the_hub(toy: Path) -> None:
    place = toy / "mirror" / "owner" / "toy"
    place.mkdir(parents=True)
    save_file(state(3), place / "model.safetensors")
    done = hub.get(hub.wanted("toy/second"), hub.from_folder(toy / "mirror"))
    assert (done.set, done.missing) == ("second", ())
    assert same(load("toy", "second").network.state_dict(), state(3))
    with pytest.raises(FetchError, match=r"first\.pth is not in this folder"):
        hub.get(hub.wanted("toy/first"), hub.from_folder(toy / "mirror"))
    saved(toy / "mirror" / "first.pth", state(4))  # without the folders of the hub
    hub.get(hub.wanted("toy/first"), hub.from_folder(toy / "mirror"))
    assert same(load("toy").network.state_dict(), state(4))


def test_what_is_not_on_the_hub_is_told_with_the_command_to_type(toy: Path) -> None:
    plan = hub.wanted("toy/parts")
    assert [one.name for one in plan.fetched] == ["head.pth"]
    wanted = "download trunk.pth from https://example.org/toy, then `fauxlens weights import toy/parts trunk.pth`"
    assert plan.how_by_hand == wanted
    (toy / "mirror").mkdir()
    saved(toy / "mirror" / "head.pth", part(state(), "head."))
    done = hub.get(plan, hub.from_folder(toy / "mirror"))
    assert [one.name for one in done.missing] == ["trunk.pth"]
    with pytest.raises(BadSetting, match="elsewhere than on the hub") as told:
        hub.get(hub.wanted("toy/start"), hub.from_folder(toy / "mirror"))
    assert told.value.hint is not None
    assert "fauxlens weights import toy/start start.pth" in told.value.hint
    # A folder may hold them all the same.
    saved(toy / "mirror" / "trunk.pth", part(state(), "trunk."))
    assert hub.get(hub.wanted("toy/parts", anywhere=True), hub.from_folder(toy / "mirror")).missing == ()
    with pytest.raises(FetchError, match="is not on the hub"):
        hub.from_hub(file("x.pth"))


def hub_error(kind: str) -> Exception:
    from huggingface_hub import errors

    response = SimpleNamespace(headers={}, request=None, status_code=404)
    found = getattr(errors, kind)
    return found("so it is", response=response) if issubclass(found, errors.HfHubHTTPError) else found("so it is")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("GatedRepoError", "the owner wants you to ask for access first"),
        ("RepositoryNotFoundError", "the repository is not on the hub any more"),
        ("RevisionNotFoundError", "its revision abc is not on the hub any more"),
        ("RemoteEntryNotFoundError", "model.safetensors is not on the hub any more"),
        ("LocalEntryNotFoundError", "model.safetensors could not be fetched: so it is"),
        ("OfflineModeIsEnabled", "model.safetensors could not be fetched: so it is"),
        ("HfHubHTTPError", "model.safetensors could not be fetched: so it is"),
    ],
)
def test_every_refusal_of_the_hub_is_one_line_with_a_next_step(
    kind: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(repository: str, name: str, revision: str | None) -> str:
        asked.append((repository, name, revision))
        raise hub_error(kind)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(FetchError) as told:
        hub.from_hub(Toy.card.weights[1].files[0])
    assert told.value.message == f"https://huggingface.co/owner/toy: {message}"
    assert told.value.hint
    assert asked == [("owner/toy", "model.safetensors", "abc")]


def test_a_fault_of_ours_is_not_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*given: object, **named: object) -> str:
        raise TypeError("ours")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", stumble)
    with pytest.raises(TypeError, match="ours"):
        hub.from_hub(Toy.card.weights[0].files[0])


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download needs."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, has_body: bool) -> None:
        body = self.files.get(self.path)
        self.send_response(200 if body is not None else 404)
        if body is None:
            self.send_header("X-Error-Code", "EntryNotFound")
            body = b""
        self.send_header("ETag", f'"{len(body)}-toy"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


FETCH = (
    "import sys\nfrom fauxlens.detectors import hub\nfrom fauxlens.detectors.card import WeightFile\n"
    "from fauxlens.core.errors import FauxlensError\n"
    "try: print(hub.from_hub(WeightFile(name='w.pth', source='x', hub='owner/toy')))\n"
    "except FauxlensError as told: print('REFUSED', told)\n"
)


def fetched(endpoint: str, home: Path) -> str:
    # A process of its own: huggingface_hub reads its environment once, when it is imported.
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1",
                   "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    line = [sys.executable, "-c", FETCH]
    return subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def test_the_real_client_speaks_to_a_server(served: str, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    path = saved(toy / "w.pth", state())
    Hub.files = {"/owner/toy/resolve/main/w.pth": path.read_bytes()}
    found = fetched(served, toy / "home")
    assert Path(found).read_bytes() == path.read_bytes()
    assert Path(found).name == "w.pth"
    Hub.files = {}
    told = fetched(served, toy / "other")
    assert told.startswith("REFUSED https://huggingface.co/owner/toy: w.pth is not on the hub any more")


def test_without_a_network_it_is_told_in_one_line(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told = fetched("http://127.0.0.1:9", toy / "home")
    assert told.startswith("REFUSED https://huggingface.co/owner/toy: w.pth could not be fetched: ")
    assert "--from" in told
    assert len(told.splitlines()) == 1


# NFA-ViT: what its release holds, and where its training starts


@pytest.fixture(scope="module")
def nfa() -> Detector:
    return load("nfa-vit", "random", seed=3)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_as_its_trainer_writes_it(prefix: str, nfa: Detector, toy: Path) -> None:
    wanted = nfa.network.state_dict()
    held = {
        "model": OrderedDict((prefix + name, tensor) for name, tensor in wanted.items()),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4, "params": [0]}]},
        "epoch": 149,
        "scaler": {"scale": 65536.0, "growth_tracker": 12},
        "args": argparse.Namespace(model="x", lr=1e-4, output_dir=Path("out"), distributed=True),
    }
    path = saved(toy / "checkpoint-149.pth", held)
    done = import_files("nfa-vit", [path])
    assert (done.set, done.missing, done.files[0].part) == ("br-gen", (), "")
    assert done.files[0].numbers == sum(t.numel() for t in wanted.values() if t.is_floating_point())
    assert same(load("nfa-vit", "br-gen").network.state_dict(), wanted)


def transformers_encoder(settings: MixSettings, seed: int) -> Any:
    """SegFormer's encoder as the transformers library builds it, with weights of its own."""
    transformers = pytest.importorskip("transformers", reason="the extra `zoo` is not installed")
    config = transformers.SegformerConfig(
        depths=list(settings.depths), hidden_sizes=list(settings.dims), num_attention_heads=list(settings.heads),
        mlp_ratios=[settings.mlp_ratio] * 4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        drop_path_rate=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = transformers.SegformerModel(config).eval()
        for tensor in network.parameters():
            # Otherwise biases are zero and norms one, and a mix-up of them would go unseen.
            tensor.data += 0.05 * torch.randn_like(tensor)
    return network


def published(network: Any, folder: Path) -> Path:
    """The file that the transformers library writes; its names differ from those in memory since its version 5."""
    network.save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.mark.parametrize("mix", [mix_b0, mix_b2], ids=["B0", "B2"])
def test_our_encoder_is_segformers(mix: Any, tmp_path: Path) -> None:
    settings = mix()
    theirs = transformers_encoder(settings, 1)
    ours = MixTransformer(settings).eval()
    ours.load_state_dict(segformer_names(read_tensors(published(theirs, tmp_path))), strict=True)
    image = torch.randn(1, 3, 96, 70, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = theirs(image, output_hidden_states=True).hidden_states
        found = ours(image)
        for mine, other in zip(found, wanted, strict=True):
            assert mine.shape == other.shape
            assert float((mine - other).abs().max()) <= 1e-5 * float(other.abs().max())


def test_the_start_of_training_comes_from_three_files(nfa: Detector, toy: Path) -> None:
    noise, small, large = (load("noiseprint++", "random", seed=8).network, transformers_encoder(mix_b0(), 1),
                           transformers_encoder(mix_b2(), 2))  # fmt: skip
    one = saved(toy / "noiseprint++.th", {"network": noise.state_dict(), "global_step": 12})
    bare = saved(toy / "bare.th", dict(noise.state_dict()))
    classifier = {"classifier.weight": torch.ones(1000, 256), "classifier.bias": torch.ones(1000)}
    names = {f"segformer.{name}": value for name, value in read_tensors(published(small, toy / "b0")).items()}
    two = saved(toy / "pytorch_model.bin", {**names, **classifier})
    three = published(large, toy / "b2")
    assert [f.name for f in import_files("nfa-vit/start", [one]).missing] == [
        "segformer_b0_backbone_weights.pth", "segformer_b2_backbone_weights.pth"
    ]  # fmt: skip
    done = import_files("nfa-vit/start", [two, three])
    assert done.missing == ()
    assert [(told.part, told.is_converted) for told in done.files] == [
        ("noise_backbone.", True), ("image_backbone.", True)
    ]  # fmt: skip
    import_files("nfa-vit/start", [bare])
    found = load("nfa-vit", "start", seed=3)
    ours = found.network.state_dict()
    assert found.weights.is_random  # decoder and verdict are
    for prefix in ("cls_decoder.", "seg_decoder."):
        assert same(part(dict(ours), prefix), part(dict(nfa.network.state_dict()), prefix))
    assert same(part(dict(ours), "noise_extractor.layers."), noise.state_dict())
    first = names["segformer.encoder.patch_embeddings.0.proj.weight"]
    assert torch.equal(ours["noise_backbone.patch_embed1.proj.weight"], first.mean(dim=1, keepdim=True))
    with torch.inference_mode():
        image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        mine = MixTransformer(mix_b2()).eval()
        mine.load_state_dict(part(dict(ours), "image_backbone."))
        wanted = large(image, output_hidden_states=True).hidden_states[-1]
        assert float((mine(image)[-1] - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_segformers_own_names_come_in_too(toy: Path) -> None:
    released = {
        **MixTransformer(mix_b0()).state_dict(),
        "head.weight": torch.ones(1000, 256),
        "head.bias": torch.ones(1000),
    }
    done = import_files("nfa-vit/start", [saved(toy / "segformer_b0_backbone_weights.pth", {"state_dict": released})])
    assert (done.files[0].part, done.files[0].is_converted) == ("noise_backbone.", True)
    # One that was averaged before is taken as it is.
    averaged = MixTransformer(mix_b0(in_channels=1)).state_dict()
    done = import_files("nfa-vit/start", [saved(toy / "averaged.pth", averaged)])
    assert (done.files[0].part, done.files[0].is_converted) == ("noise_backbone.", False)
    large = MixTransformer(mix_b2()).state_dict()
    done = import_files("nfa-vit/start", [saved(toy / "segformer_b2_backbone_weights.pth", large)])
    assert (done.files[0].part, done.files[0].is_converted) == ("image_backbone.", False)
    assert {file.part for file in NfaVitDetector.card.weights[1].files} - set(done.stored.files) == {
        "noise_extractor.layers."
    }
