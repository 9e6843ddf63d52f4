"""The error family: sentences, hints, kinds; whole after crossing a process border; the drawn tree is the real one."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauxlens.core import errors
from fauxlens.core.errors import BadSetting, FauxlensError, Interrupted, UnreadableImage, WorkError
from made_errors import made, raise_it

FAMILY = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, FauxlensError) and kind.__module__ == errors.__name__
}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "gone"),
        ({"where": "a.jpg"}, "a.jpg: gone"),
        ({"wanted": 1}, "gone (wanted 1)"),
        ({"got": 0}, "gone (got 0)"),
        ({"where": "a.jpg", "wanted": "", "got": None}, "a.jpg: gone (wanted )"),
        ({"where": "a.jpg", "wanted": 1, "got": 2}, "a.jpg: gone (wanted 1, got 2)"),
    ],
)
def test_a_message_has_what_it_was_given(facts: dict[str, object], message: str) -> None:
    error = FauxlensError("gone", **facts)  # type: ignore[arg-type]
    assert error.message == message
    assert str(error) == message
    assert error.args == (message,)


@pytest.mark.parametrize(
    ("end", "text"), [("", "gone. Next: look"), (".", "gone. Next: look"), ("?", "gone? Next: look")]
)
def test_a_hint_begins_a_sentence(end: str, text: str) -> None:
    error = FauxlensError("gone" + end, hint="look")
    assert str(error) == text
    assert error.message == "gone" + end


@pytest.mark.parametrize("kind", FAMILY.values(), ids=FAMILY)
def test_every_error_survives_pickling_and_copying(kind: type[FauxlensError]) -> None:
    error = made(kind)
    error.add_note("seen twice")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert vars(twin) == vars(error)
        assert (twin.message, str(twin), twin.args, twin.kind) == (error.message, str(error), error.args, kind.__name__)
        assert twin.__notes__ == ["seen twice"]


def test_an_error_crosses_a_process_border() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        crossed = pool.submit(made, UnreadableImage).result()
        thrown = pool.submit(raise_it, Interrupted).exception()
    assert isinstance(crossed, UnreadableImage)
    assert vars(crossed) == vars(made(UnreadableImage))
    assert type(thrown) is Interrupted
    assert str(thrown) == str(made(Interrupted))


@given(st.text(), st.none() | st.text(), st.none() | st.text(), st.none() | st.text(), st.none() | st.text())
def test_nothing_given_is_lost(
    what: str, where: str | None, wanted: str | None, got: str | None, hint: str | None
) -> None:
    error = pickle.loads(pickle.dumps(BadSetting(what, where=where, wanted=wanted, got=got, hint=hint)))
    assert (error.what, error.where, error.wanted, error.got, error.hint) == (what, where, wanted, got, hint)
    for part in (what, where, wanted, got, hint):
        assert part is None or part in str(error)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^([│ ]*[├└]── )?(\w+)  +(\S.*)$|^(FauxlensError)$", errors.__doc__ or "", re.MULTILINE)
    above: dict[int, str] = {0: "FauxlensError"}
    parents = {}
    for branch, name, about, _root in drawn:
        if not name:
            continue
        depth = len(branch) // 4
        above[depth] = name
        parents[name] = (above[depth - 1], about)
    assert set(parents) | {"FauxlensError"} == set(FAMILY)
    for name, (parent, about) in parents.items():
        assert FAMILY[parent] in FAMILY[name].__bases__, name
        said = (FAMILY[name].__doc__ or "").lower()
        assert said.startswith(about.split(";")[0].lower()), name


def test_an_error_is_also_what_python_would_raise() -> None:
    for name, builtin in (
        ("UnknownName", LookupError),
        ("BadSetting", ValueError),
        ("MissingExtra", ImportError),
        ("UnreadableImage", OSError),
        ("FetchError", OSError),
        ("WorkError", RuntimeError),
    ):
        assert issubclass(FAMILY[name], builtin)
    assert issubclass(Interrupted, WorkError)


def test_every_reason_is_named_once() -> None:
    assert len(set(UnreadableImage.REASONS)) == len(UnreadableImage.REASONS)
    assert made(UnreadableImage).reason in UnreadableImage.REASONS  # type: ignore[attr-defined]
