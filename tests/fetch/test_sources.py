"""The table of what can be fetched, and what must be asked for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from fauxlens.core.errors import FetchError, UnknownName
from fauxlens.manifest.fetch import _FETCHERS, SOURCES, describe, fetcher


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_a_person_must_know(name: str) -> None:
    entry, text = SOURCES[name], describe(name)
    for fact in (entry.description, entry.where, entry.size, entry.terms, entry.needs):
        assert fact
        assert fact in text
    if entry.is_fetched:
        assert callable(fetcher(name))
    else:
        assert entry.ask is not None
        with pytest.raises(FetchError, match="not fetched here") as caught:
            fetcher(name)
        assert caught.value.hint == entry.ask
        assert entry.ask in text


def test_the_tables_agree() -> None:
    assert set(_FETCHERS) == {name for name, entry in SOURCES.items() if entry.is_fetched}
    assert {"unbiased-genimage", "imaginet-ffhq"} == set(_FETCHERS)


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'br-gen'"):
        describe("brgen")


def test_looking_at_the_table_imports_no_machinery() -> None:
    code = "import sys, fauxlens.manifest.fetch as f; print('PIL' in sys.modules, 'urllib.request' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "PIL" not in told.stdout
    assert told.stdout.split()[-1] == "False"


def test_next_steps_are_commands_not_modules() -> None:
    for name, entry in SOURCES.items():
        assert "`manifest." not in describe(name)
        assert entry.ask is None or not re.search(r"manifest\.\w", entry.ask)
