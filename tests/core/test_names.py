"""Tables of names: what is there is imported, what is not gets the nearest."""

from __future__ import annotations

import pytest

from fauxlens.core.errors import UnknownName
from fauxlens.core.names import look_up, nearest, unknown

TABLE = {"square": "math:isqrt", "join": "os.path:join", "broken": "fauxlens.no_such_module:x"}


def test_a_name_is_imported_when_it_is_asked_for() -> None:
    assert look_up(TABLE, "square", "root")(49) == 7
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        look_up(TABLE, "broken", "root")


def test_a_wrong_name_lists_all_and_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no root called 'sqare'") as caught:
        look_up(TABLE, "sqare", "root")
    assert caught.value.hint == "Did you mean 'square'? There are: broken, join, square"
    assert unknown("zzz", ["b", "a"], "thing").hint == "There are: a, b"


def test_nearest_is_silent_when_nothing_is_near() -> None:
    assert nearest("zzz", ["blur", "crop"]) == ""
    assert nearest("", []) == ""
    assert "'jpeg'" in nearest("jepg", iter(["jpeg", "webp"]))
