"""Optional libraries: an absent one names its extra; a broken one is not called absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from fauxlens.core.errors import MissingExtra
from fauxlens.core.optional import need


def test_what_is_there_is_returned() -> None:
    import json.decoder

    assert need("json.decoder", "x", "reading") is json.decoder


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part"])
def test_what_is_absent_names_the_command(module: str) -> None:
    with pytest.raises(MissingExtra, match=f"HEIC needs {module}") as caught:
        need(module, "formats", "HEIC")
    assert caught.value.hint == 'pip install "fauxlens[formats]"'
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import no_such_part\n", ModuleNotFoundError),  # it lacks something of its own
        ("raise ImportError('libfoo.so.1: cannot open')\n", ImportError),
        ("raise RuntimeError('wrong driver')\n", RuntimeError),
        ("1 +\n", SyntaxError),
    ],
)
def test_a_broken_library_is_not_called_absent(
    source: str, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_{kind.__name__.lower()}_{len(source)}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(kind) as caught:
        need(name, "formats", "HEIC")
    assert not isinstance(caught.value, MissingExtra)
