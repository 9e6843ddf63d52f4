"""The store of weights: whole files, one digest on every machine, no card that leads astray."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fauxlens.core.errors import BadWeights
from fauxlens.core.files import sha256_of
from fauxlens.detectors import store as stores
from fauxlens.detectors.card import WeightFile, WeightSet
from fauxlens.detectors.checkpoint import read_tensors
from fauxlens.detectors.importing import import_files
from fauxlens.detectors.load import load

PARTS = tuple(
    WeightFile(name=f"{part}.pth", source="https://example.org", part=f"{part}.") for part in ("trunk", "head")
)
SET = WeightSet(name="one", files=PARTS, licence="MIT", use="open", terms="keep the notice", trained_on="nothing")


def state(seed: int = 0, count: int = 3) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {f"w{n}": torch.randn(4, 5, generator=draw) for n in range(count)} | {"n": torch.tensor(3)}


def test_what_is_put_is_found_with_its_facts(tmp_path: Path) -> None:
    source = tmp_path / "trunk.pth"
    torch.save(state(), source)
    put = stores.put("toy++", SET, "trunk.", state(), file=PARTS[0], source=source, store=tmp_path / "s")
    assert put.folder == tmp_path / "s" / "toy++" / "one"
    assert put.missing(SET) == (PARTS[1],)
    found = stores.put("toy++", SET, "head.", state(1, 1), file=PARTS[1], store=tmp_path / "s")
    again = stores.find("toy++", "one", tmp_path / "s")
    assert again == found
    assert again is not None
    assert again.missing(SET) == ()
    assert {part: path.name for part, path in again.files.items()} == {
        "trunk.": "trunk.safetensors",
        "head.": "head.safetensors",
    }
    for part, wanted in (("trunk.", state()), ("head.", state(1, 1))):
        held = read_tensors(again.files[part])
        assert held.keys() == wanted.keys()
        assert all(torch.equal(held[name], wanted[name]) for name in wanted)
    facts = again.card["files"]["trunk."]
    assert facts["from"] == {"name": "trunk.pth", "sha256": sha256_of(source), "commit": None}
    assert (facts["tensors"], facts["numbers"], facts["owner"]) == (4, 60, "https://example.org")
    assert (again.card["licence"], again.card["terms"], again.card["labels"]) == ("MIT", "keep the notice", ["fake"])
    assert again.bytes == sum(path.stat().st_size for path in again.files.values())
    assert stores.check(again) == []
    assert [(one.detector, one.name) for one in stores.listed(tmp_path / "s")][-1] == ("toy++", "one")


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert stores.find("toy", "one", tmp_path / "nowhere") is None
    before = [one.detector for one in stores.listed(tmp_path / "nowhere")]
    assert "toy" not in before


def test_the_digest_is_the_same_on_every_machine(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "import test_store as t\n"
        "held = dict(reversed(t.state().items()))\n"
        "print(t.stores.put('toy', t.SET, '', held, store=pathlib.Path(sys.argv[1])).sha256)"
    )
    here = stores.put("toy", SET, "", state(), source=None, store=tmp_path / "here").sha256
    for number in range(2):
        line = [sys.executable, "-c", code, str(tmp_path / str(number)), str(Path(__file__).parent)]
        assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip() == here
    assert here == sha256_of(tmp_path / "here" / "toy" / "one" / "network.safetensors")
    assert stores.put("toy", SET, "", state(1), store=tmp_path / "here").sha256 != here


def test_the_digest_of_parts_is_in_the_order_of_their_names(tmp_path: Path) -> None:
    for order, folder in ((("trunk.", "head."), "a"), (("head.", "trunk."), "b")):
        for part in order:
            stored = stores.put("toy", SET, part, state(len(part)), store=tmp_path / folder)
        digests = [stored.card["files"][part]["sha256"] for part in ("head.", "trunk.")]
        assert stored.sha256 == stores.joined_digest(digests)
    assert stores.joined_digest(["a"]) == "a"
    assert stores.joined_digest(["a", "b"]) != stores.joined_digest(["b", "a"])


def test_the_whole_takes_the_place_of_its_parts_and_back(tmp_path: Path) -> None:
    stores.put("toy", SET, "trunk.", state(), store=tmp_path)
    whole = stores.put("toy", SET, "", state(), store=tmp_path)
    assert set(whole.files) == {""}
    assert whole.missing(SET) == ()
    assert {path.name for path in whole.folder.glob("*.safetensors")} == {"network.safetensors"}
    part = stores.put("toy", SET, "head.", state(), store=tmp_path)
    assert set(part.files) == {"head."}
    assert {path.name for path in part.folder.glob("*.safetensors")} == {"head.safetensors"}


def test_imports_at_the_same_time_take_turns(tmp_path: Path) -> None:
    many = WeightSet(
        name="many",
        files=tuple(WeightFile(name=f"{n}.pth", source="x", part=f"p{n}.") for n in range(8)),
        licence="MIT", use="open", terms="", trained_on="",
    )  # fmt: skip
    faults: list[BaseException] = []
    start = threading.Barrier(16)

    def put(number: int) -> None:
        try:
            start.wait()
            for _ in range(3):
                stores.put("toy", many, f"p{number % 8}.", state(number % 8), store=tmp_path)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    stored = stores.find("toy", "many", tmp_path)
    assert stored is not None
    assert stored.missing(many) == ()
    assert stores.check(stored) == []
    assert not list(tmp_path.rglob("*.part"))


def test_a_write_that_fails_leaves_the_old_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stores.put("toy", SET, "", state(), store=tmp_path)

    def fail(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        stores.put("toy", SET, "", state(1), store=tmp_path)
    after = stores.find("toy", "one", tmp_path)
    assert after == before
    assert stores.check(before) == []
    assert {path.name for path in before.folder.iterdir()} == {".lock", "card.json", "network.safetensors"}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        '{"files": []}',
        '{"files": {}}',
        '{"files": {"": {"file": "network.safetensors"}}}',
        '{"files": {"": {"file": "../../../etc/passwd", "sha256": "0"}}}',
        '{"files": {"": {"file": 3, "sha256": "0"}}}',
        '{"files": {"": null}}',
        "\udcff",
    ],
)
def test_a_damaged_card_is_an_error_with_a_next_step_and_can_be_written_over(body: str, tmp_path: Path) -> None:
    stored = stores.put("toy", SET, "", state(), store=tmp_path)
    (stored.folder / "card.json").write_bytes(body.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadWeights, match="the card of these weights cannot be read") as told:
        stores.find("toy", "one", tmp_path)
    assert told.value.hint is not None
    assert "import the weights again" in told.value.hint
    assert stores.folders(tmp_path)[-1] == stored.folder
    assert "toy" not in {one.detector for one in stores.listed(tmp_path)}  # the others are still listed
    assert stores.put("toy", SET, "", state(), store=tmp_path).sha256 == stored.sha256
    assert stores.find("toy", "one", tmp_path) is not None


def test_changes_on_disk_are_seen(tmp_path: Path) -> None:
    stored = stores.put("toy", SET, "trunk.", state(), store=tmp_path)
    path = stored.files["trunk."]
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    assert stores.check(stored) == ["trunk.safetensors (trunk) has changed since it was imported"]
    path.unlink()
    assert stores.check(stored) == ["trunk.safetensors (trunk) is gone"]
    path.mkdir()
    assert stores.check(stored)[0].startswith("trunk.safetensors (trunk) cannot be read")


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "mine"))
    assert stores.store_folder() == tmp_path / "mine"
    stores.put("toy", SET, "", state())
    assert json.loads((tmp_path / "mine" / "toy" / "one" / "card.json").read_text())["detector"] == "toy"
    monkeypatch.setenv("FAUXLENS_WEIGHTS", "~/mine")
    assert stores.store_folder() == Path.home() / "mine"
    monkeypatch.delenv("FAUXLENS_WEIGHTS")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert stores.store_folder() == tmp_path / "cache" / "fauxlens" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert stores.store_folder() == Path.home() / ".cache" / "fauxlens" / "weights"
    monkeypatch.setattr("sys.platform", "darwin")
    assert stores.store_folder() == Path.home() / "Library" / "Caches" / "fauxlens" / "weights"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert stores.store_folder() == tmp_path / "local" / "fauxlens" / "weights"


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\b", "con:", "a b\n"])
def test_no_name_leads_out_of_the_store(name: str) -> None:
    assert not set(stores.safe(name)) & set("/\\: \n")


def test_dots_alone_are_no_folder() -> None:
    assert stores.safe("..") not in ("..", ".", "")
    assert stores.safe(".") not in ("..", ".", "")


def test_the_commit_of_the_owner_s_repository_is_kept(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    source = tmp_path / "models--owner--name" / "snapshots" / commit / "noiseprint++.th"
    source.parent.mkdir(parents=True)
    detector = load("noiseprint++", "random")
    torch.save(detector.network.state_dict(), source)
    plain = tmp_path / "noiseprint++.th"
    plain.write_bytes(source.read_bytes())
    for path, wanted in ((source, commit), (plain, None)):
        done = import_files("noiseprint++", [path], store=tmp_path / "store")
        card = json.loads((done.stored.folder / "card.json").read_text(encoding="utf-8"))
        assert card["files"][""]["from"]["commit"] == wanted
