"""Settings: there and back again for every type; what is wrong is told with file, key, wanted and got."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting
from fauxlens.core.settings import read_settings, read_toml, settings_from, settings_to


@dataclass(frozen=True)
class Crop:
    """A part of a picture."""

    side: int = 224
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.side < 1:
            raise BadSetting("side must be at least 1", got=self.side)


@dataclass(frozen=True)
class Plan:
    """One field of every type."""

    name: str
    epochs: int = 20
    rate: float = 1e-4
    resume: bool = True
    mode: Literal["fast", "exact", 3] = "fast"
    sides: tuple[int, ...] = (1, 2)
    pair: tuple[str, float] = ("a", 1.0)
    crop: Crop = Crop()
    crops: tuple[Crop, ...] = ()
    spare: Crop | None = None
    limit: int | None = 5
    where: Path = Path("out")
    either: int | str = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    tables: dict[str, tuple[int, ...]] = field(default_factory=dict)
    when: datetime.date | None = None
    more: Any = None
    made: str = field(default="not a setting", init=False)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
CROPS = st.builds(Crop, st.integers(1, 10**6), NUMBERS)
PLANS = st.builds(
    Plan,
    name=st.text(),
    epochs=st.integers(),
    rate=NUMBERS,
    resume=st.booleans(),
    mode=st.sampled_from(["fast", "exact", 3]),
    sides=st.lists(st.integers()).map(tuple),
    pair=st.tuples(st.text(), NUMBERS),
    crop=CROPS,
    crops=st.lists(CROPS, max_size=3).map(tuple),
    spare=st.none() | CROPS,
    limit=st.none() | st.integers(),
    where=st.lists(st.text("ab. -", min_size=1), min_size=1, max_size=3).map(lambda parts: Path(*parts)),
    either=st.integers() | st.text(),
    shares=st.dictionaries(st.text(), NUMBERS),
    tables=st.dictionaries(st.text(), st.lists(st.integers()).map(tuple)),
    more=st.none() | st.text() | st.lists(st.integers()),
)


@given(PLANS)
def test_there_and_back_again(plan: Plan) -> None:
    plain = settings_to(plan)
    assert settings_from(Plan, plain) == plan
    assert settings_from(Plan, json.loads(json.dumps(plain))) == plan


def test_plain_data_is_plain() -> None:
    plain = settings_to(Plan("x", crops=(Crop(2),), limit=None))
    assert plain["crops"] == [{"side": 2, "share": 0.5}]
    assert plain["where"] == "out"
    assert plain["limit"] is None  # not its default, so it is said
    assert not {"spare", "when", "made"} & set(plain)


FULL = """
name = "all"
epochs = 3
rate = 1
mode = 3
sides = []
pair = ["b", 2]
limit = 7
where = "a/b"
either = "text"
when = 2026-01-02
crops = [{ side = 1 }, { side = 2, share = 1 }]
[crop]
side = 64
[spare]
share = 0.25
[shares]
train = 1
[tables]
a = [1, 2]
"""


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(FULL)
    plan = read_settings(Plan, tmp_path / "plan.toml")
    assert plan == Plan(
        "all",
        epochs=3,
        rate=1.0,
        mode=3,
        sides=(),
        pair=("b", 2.0),
        limit=7,
        where=Path("a/b"),
        either="text",
        when=datetime.date(2026, 1, 2),
        crops=(Crop(1), Crop(2, 1.0)),
        crop=Crop(64),
        spare=Crop(share=0.25),
        shares={"train": 1.0},
        tables={"a": (1, 2)},
    )
    assert [type(value) for value in (plan.rate, plan.pair[1], plan.shares["train"])] == [float] * 3


@pytest.mark.parametrize(
    ("line", "key", "wanted", "got"),
    [
        ("epochs = true", "epochs", "a whole number", "True"),
        ("epochs = 1.0", "epochs", "a whole number", "1.0"),
        ("epochs = '3'", "epochs", "a whole number", "'3'"),
        ("rate = true", "rate", "a number", "True"),
        ("rate = 'fast'", "rate", "a number", "'fast'"),
        ("rate = 1" + "0" * 400, "rate", "a number", "1" + "0" * 400),
        ("resume = 1", "resume", "true or false", "1"),
        ("mode = 'quick'", "mode", "one of 'fast', 'exact', 3", "'quick'"),
        ("mode = true", "mode", "one of 'fast', 'exact', 3", "True"),
        ("sides = 3", "sides", "a list (a whole number each)", "3"),
        ("sides = 'ab'", "sides", "a list (a whole number each)", "'ab'"),
        ("sides = [1, true]", "sides[1]", "a whole number", "True"),
        ("pair = ['a']", "pair", "a list of 2 (a text, a number)", "['a']"),
        ("pair = ['a', 'b']", "pair[1]", "a number", "'b'"),
        ("crop = 3", "crop", "a table of side, share", "3"),
        ("crop = { side = 'x' }", "crop: side", "a whole number", "'x'"),
        ("crops = [{ side = 1 }, { side = 1.5 }]", "crops[1]: side", "a whole number", "1.5"),
        ("spare = { share = 'x' }", "spare: share", "a number", "'x'"),
        ("limit = 'none'", "limit", "a whole number", "'none'"),
        ("where = 3", "where", "Path", "3"),
        ("either = 1.5", "either", "a whole number or a text", "1.5"),
        ("shares = [1]", "shares", "a table", "[1]"),
        ("shares = { a = 'x' }", "shares.a", "a number", "'x'"),
        ("tables = { a = [1, 'x'] }", "tables.a[1]", "a whole number", "'x'"),
        ("when = 'today'", "when", "date", "'today'"),
    ],
)
def test_a_wrong_type_tells_file_key_wanted_and_got(line: str, key: str, wanted: str, got: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(f"name = 'x'\n{line}\n")
    with pytest.raises(BadSetting) as caught:
        read_settings(Plan, path)
    assert (caught.value.where, caught.value.wanted, caught.value.got) == (f"{path}: {key}", wanted, got)


def test_unknown_keys_name_the_nearest() -> None:
    with pytest.raises(BadSetting, match="no such setting: 'epoch'") as caught:
        settings_from(Plan, {"name": "x", "epoch": 3}, where="plan.toml")
    assert caught.value.where == "plan.toml"
    assert (caught.value.hint or "").startswith("Did you mean 'epochs'? There are: ")
    with pytest.raises(BadSetting) as caught:
        settings_from(Plan, {"name": "x", "crop": {"sid": 3}})
    assert (caught.value.where, caught.value.hint) == (
        "settings: crop",
        "Did you mean 'side'? There are: share, side",
    )
    with pytest.raises(BadSetting, match="no such setting: 'made'"):
        settings_from(Plan, {"name": "x", "made": "up"})


def test_what_is_missing_is_named_with_its_type() -> None:
    with pytest.raises(BadSetting, match="setting 'name' is missing") as caught:
        settings_from(Plan, {}, where="plan.toml")
    assert (caught.value.wanted, caught.value.hint) == ("a text", "add `name = ...`")


def test_what_a_dataclass_says_of_itself_gets_the_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("name = 'x'\n[crop]\nside = 0\n")
    with pytest.raises(BadSetting, match="side must be at least 1") as caught:
        read_settings(Plan, path)
    assert (caught.value.where, caught.value.got) == (f"{path}: crop", "0")


def test_only_dataclasses_are_settings() -> None:
    with pytest.raises(TypeError, match="dataclass"):
        settings_from(dict, {})


def put(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.toml").write_text(text)
    return folder / "plan.toml"


def test_a_file_stands_on_another(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    put(tmp_path / "base", deep="name = 'deep'\nepochs = 1\nsides = [1, 2]\n[crop]\nside = 1\nshare = 1\n")
    put(tmp_path, middle="extends = 'base/deep.toml'\nepochs = 2\n[shares]\na = 1\n")
    path = put(tmp_path, plan="extends = 'middle.toml'\nname = 'top'\nsides = [9]\n[crop]\nside = 8\n[shares]\nb = 2\n")
    assert read_settings(Plan, path) == Plan(
        "top", epochs=2, sides=(9,), crop=Crop(8, 1.0), shares={"a": 1.0, "b": 2.0}
    )


def test_circles_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path, plan="extends = 'other.toml'\n", other="extends = 'plan.toml'\n")
    with pytest.raises(BadSetting, match="circle") as caught:
        read_toml(path)
    assert caught.value.got == "plan.toml -> other.toml -> plan.toml"
    with pytest.raises(BadSetting, match="circle"):
        read_toml(put(tmp_path, plan="extends = './plan.toml'\n"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no such file") as caught:
        read_toml(put(tmp_path, plan="extends = 'gone.toml'\n"))
    assert caught.value.where == str(tmp_path / "gone.toml")
    with pytest.raises(BadSetting, match="'extends' names another file") as caught:
        read_toml(put(tmp_path, plan="extends = 3\n"))
    assert caught.value.got == "3"
    with pytest.raises(BadSetting, match=r"not valid TOML: .*line 2"):
        read_toml(put(tmp_path, plan="a = 1\nb = \n"))
    (tmp_path / "latin.toml").write_bytes(b"a = '\xff'\n")
    with pytest.raises(BadSetting, match="not valid TOML"):
        read_toml(tmp_path / "latin.toml")
    with pytest.raises(BadSetting, match="cannot be read"):
        read_toml(tmp_path)
