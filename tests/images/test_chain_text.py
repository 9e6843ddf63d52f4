"""Chains as text and as TOML tables: what is written is what is read."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting, UnknownName
from fauxlens.core.settings import settings_to
from fauxlens.images.degrade import CHAINS, CONTAINERS, Chain, OneOf, Step, chain_from, parse_chain
from fauxlens.images.degrade.codec import Jpeg, Webp
from fauxlens.images.degrade.geometry import Crop, DownUp, Flip, Pad, Resize, Rotate
from fauxlens.images.degrade.screen import Screenshot
from fauxlens.images.degrade.tone import Blur, Brightness, Contrast, Gamma, Noise, Sharpen
from fauxlens.images.encode import SUBSAMPLINGS
from fauxlens.images.resample import KINDS


def whole(low: int, high: int) -> st.SearchStrategy:
    one = st.integers(low, high)
    return one | st.tuples(one, one).map(lambda pair: tuple(sorted(pair)))


def number(low: float, high: float) -> st.SearchStrategy:
    one = st.floats(low, high, allow_subnormal=False) | st.integers(int(low) + 1, int(high)).map(float)
    return one | st.tuples(one, one).map(lambda pair: tuple(sorted(pair)))


CHANCE = st.floats(0, 1, allow_subnormal=False)
KIND = st.sampled_from(KINDS)
LEAVES: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Jpeg,
        quality=whole(1, 100),
        subsampling=st.sampled_from(SUBSAMPLINGS),
        swapped=st.booleans(),
        probability=CHANCE,
    ),
    st.builds(Webp, quality=whole(1, 100), lossless=st.booleans()),
    st.builds(Resize, longest=whole(1, 5000), kind=KIND, enlarge=st.booleans()),
    st.builds(Resize, height=whole(1, 5000), width=whole(1, 5000)),
    st.builds(Resize, scale=number(1e-6, 8)),
    st.builds(DownUp, scale=number(1e-6, 1), kind=KIND),
    st.builds(Crop, side=whole(1, 999), place=st.sampled_from(["centre", "random"]), pad=st.just("refuse")),
    st.builds(Crop, side=st.just((3, 9)), limit_to_picture=st.booleans(), probability=CHANCE),
    st.builds(Pad, side=whole(1, 999), mode=st.sampled_from(["reflect", "edge", "black"])),
    st.builds(Rotate, degrees=number(-360, 360)),
    st.builds(Rotate, quarter_turns=whole(-4, 4)),
    st.builds(Flip, direction=st.sampled_from(["horizontal", "vertical", "both", "random"])),
    st.builds(Blur, sigma=number(1e-6, 100)),
    st.builds(Noise, deviation=number(0, 255)),
    st.builds(Brightness, factor=number(0, 10)),
    st.builds(Contrast, factor=number(0, 10)),
    st.builds(Gamma, exponent=number(0.1, 10)),
    st.builds(Sharpen, amount=number(0, 10), sigma=number(1e-6, 9)),
    st.builds(Screenshot, width=whole(1, 4000), gamma=number(0.1, 10), bar_top=whole(0, 99)),
)


def choices(inner: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    rows = st.lists(st.lists(inner, max_size=2).map(lambda steps: Chain(tuple(steps))), min_size=1, max_size=3)
    even = st.builds(OneOf, chains=rows.map(tuple), probability=CHANCE)
    pairs = st.tuples(inner, inner).map(lambda two: (Chain((two[0],)), Chain((two[1],))))
    weighed = st.builds(OneOf, chains=pairs, weights=st.tuples(st.floats(0.5, 9), st.integers(0, 9).map(float)))
    return even | weighed


STEPS_DRAWN = st.recursive(LEAVES, choices, max_leaves=5)
DRAWN = st.builds(
    Chain, steps=st.lists(STEPS_DRAWN, max_size=3).map(tuple), container=st.sampled_from(list(CONTAINERS))
)


@settings(max_examples=150, deadline=None)
@given(DRAWN)
def test_text_round_trip(chain: Chain) -> None:
    text = str(chain)
    assert parse_chain(text) == chain
    assert str(parse_chain(text)) == text
    squeezed = text.replace(" | ", "|").replace(" / ", "/").replace(" -> ", "->")
    assert parse_chain(squeezed) == chain


def as_tables(chain: Chain) -> list[dict]:
    tables = []
    for step in chain.steps:
        table = {"step": step.name} | settings_to(step)
        if isinstance(step, OneOf):
            table["chains"] = [as_tables(inner) for inner in step.chains]
        tables.append(table)
    return tables


@settings(max_examples=100, deadline=None)
@given(DRAWN)
def test_table_round_trip(chain: Chain) -> None:
    assert chain_from(as_tables(chain), container=chain.container) == chain


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="jpeg webp:=,|/()->one_f14.e-truqaliyx", max_size=60))
def test_any_text_is_read_or_refused_on_purpose(text: str) -> None:
    try:
        chain = parse_chain(text)
    except (BadSetting, UnknownName):
        return
    assert parse_chain(str(chain)) == chain


@pytest.mark.parametrize("name", CHAINS)
def test_recipes_survive_the_round_trip(name: str) -> None:
    chain = CHAINS[name].chain
    assert parse_chain(str(chain)) == chain
    assert chain_from(as_tables(chain), container=chain.container) == chain


def test_values() -> None:
    chain = parse_chain("rotate:degrees=-10--2.5 | blur:sigma=1e-05 | jpeg:quality=60-80 , subsampling=4:4:4")
    assert chain.steps == (
        Rotate(degrees=(-10.0, -2.5)),
        Blur(sigma=1e-5),
        Jpeg(quality=(60, 80), subsampling="4:4:4"),
    )
    assert str(Rotate(degrees=(-0.0, 1e-7))) == "rotate:degrees=0-1e-07"
    assert parse_chain("none -> webp-lossless") == Chain((), "webp-lossless")


def test_toml() -> None:
    given = tomllib.loads(
        """
        [[steps]]
        step = "resize"
        longest = 1080

        [[steps]]
        step = "one_of"
        probability = 0.75
        weights = [3, 1]
        chains = [{ step = "jpeg", quality = [60, 80] }, [{ step = "blur", sigma = 1 }, { step = "webp" }]]
        """
    )
    expected = "resize:longest=1080 | one_of:weights=3:1,probability=0.75(jpeg:quality=60-80 / blur:sigma=1 | webp)"
    assert str(chain_from(given["steps"])) == expected


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", BadSetting, "an empty step"),
        ("jpeg | | blur:sigma=1", BadSetting, "an empty step"),
        ("jpegg", UnknownName, "no degradation step called 'jpegg'.*Did you mean 'jpeg'"),
        ("jpeg:qualty=3", BadSetting, "'jpeg:qualty=3': no such setting: 'qualty'.*Did you mean 'quality'"),
        ("flip | jpeg:quality=0", BadSetting, "'jpeg:quality=0': quality is out of range.*1 to 100.*got 0"),
        ("jpeg:quality=60.5", BadSetting, "quality: .*wanted a whole number.*got 60.5"),
        ("jpeg:quality=" + "9" * 400, BadSetting, "quality"),
        ("blur:sigma=" + "9" * 400, BadSetting, "sigma"),
        ("jpeg:quality=80-60", BadSetting, "a range that goes down"),
        ("jpeg:quality", BadSetting, "a setting is field=value"),
        ("jpeg:quality=", BadSetting, "a setting is field=value"),
        ("jpeg:", BadSetting, "a setting is field=value"),
        ("jpeg:quality=3,quality=4", BadSetting, "'quality' is given twice"),
        ("jpeg:quality=best", BadSetting, "got 'best'"),
        ("jpeg:swapped=yes", BadSetting, "wanted true or false"),
        ("jpeg -> ", BadSetting, "nothing after '->'"),
        ("jpeg -> pngg", BadSetting, "container cannot be 'pngg'.*Did you mean 'png'"),
        ("jpeg(webp)", BadSetting, "jpeg holds no chains"),
        ("one_of", BadSetting, "one_of needs its chains"),
        ("one_of()", BadSetting, "an empty step"),
        ("one_of(jpeg", BadSetting, "parentheses do not match"),
        ("one_of(jpeg))", BadSetting, "parentheses do not match"),
        ("one_of(jpeg) x", BadSetting, "after the closing parenthesis"),
        ("one_of:weights=1:x(jpeg / webp)", BadSetting, "weights=3:1"),
        ("one_of:weights=1:2:3(jpeg / webp)", BadSetting, "wanted 2 weights"),
        ("one_of:chains=3(jpeg)", BadSetting, "chains"),
        ("one_of:chains=3", BadSetting, "one_of needs its chains"),
    ],
)
def test_bad_text_is_refused_with_the_reason(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_chain(text)


@pytest.mark.parametrize(
    ("tables", "error", "message"),
    [
        ("jpeg", BadSetting, "a chain is a list of tables"),
        (["jpeg"], BadSetting, r"chain\[0\]: a step is a table"),
        ([{"quality": 3}], BadSetting, r"chain\[0\]: a step says which it is"),
        ([{"step": "jpg"}], UnknownName, "Did you mean 'jpeg'"),
        ([{"step": "jpeg", "quality": [60]}], BadSetting, r"chain\[0\]: quality"),
        ([{"step": "flip"}, {"step": "jpeg", "quality": 0}], BadSetting, r"chain\[1\]: quality is out of range"),
        ([{"step": "one_of", "chains": [{"step": "blur"}]}], BadSetting, r"chain\[0\].chains\[0\]\[0\]: blur needs"),
        ([{"step": "one_of", "chains": 3}], BadSetting, r"chain\[0\]: chains"),
        ([{"step": "one_of"}], BadSetting, "one_of chooses between chains"),
    ],
)
def test_bad_tables_are_refused_with_the_place(tables: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        chain_from(tables)
