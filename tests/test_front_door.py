"""The front door: which names there are, that they open when asked for, and what the package ships."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from importlib.resources import files

import pytest

import fauxlens
from fauxlens.core.errors import FauxlensError

# A name that goes from here breaks somebody's script.
NAMES = [
    "FauxlensError",
    "Manifest",
    "Picture",
    "Sample",
    "__version__",
    "inspect",
    "load",
    "read_manifest",
    "read_picture",
    "scan",
    "verify",
]


def test_the_names_are_those_recorded() -> None:
    assert sorted(NAMES) == fauxlens.__all__
    assert dir(fauxlens) == fauxlens.__all__
    assert sum(not name.startswith("_") for name in NAMES) <= 10


@pytest.mark.parametrize("name", NAMES)
def test_every_name_opens(name: str) -> None:
    found = getattr(fauxlens, name)
    if name == "__version__":
        return
    assert found.__name__ == name
    assert found.__module__.startswith("fauxlens.")
    assert found.__doc__


def test_names_open_when_asked_for_and_not_before() -> None:
    code = (
        "import sys, fauxlens\n"
        "before = set(sys.modules)\n"
        "assert not [m for m in before if m.startswith(('fauxlens.manifest', 'fauxlens.images', 'fauxlens.work'))]\n"
        "fauxlens.Picture\n"
        "assert 'fauxlens.images.picture' in sys.modules\n"
        "assert 'pyarrow' not in sys.modules\n"
        "from fauxlens import *\n"
        "assert Manifest.__name__ == 'Manifest'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_names_keep_their_type_checkers_twins() -> None:
    # What is imported under TYPE_CHECKING is what _HOMES opens: the same names from the same rooms.
    source = (files("fauxlens") / "__init__.py").read_text(encoding="utf-8")
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n__all__")[0]
    typed = {
        name.strip(): room for room, names in re.findall(r"from (\S+) import (.+)", block) for name in names.split(",")
    }
    assert typed == fauxlens._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fauxlens' has no attribute 'manifesto'"):
        _ = fauxlens.manifesto
    with pytest.raises(ImportError):
        exec("from fauxlens import manifesto")


def test_the_version_is_the_one_installed() -> None:
    assert fauxlens.__version__ == metadata.version("fauxlens")
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z0-9.+]+)?", fauxlens.__version__)


def test_types_are_shipped() -> None:
    assert (files("fauxlens") / "py.typed").is_file()


def test_one_except_catches_all() -> None:
    with pytest.raises(fauxlens.FauxlensError):
        fauxlens.read_manifest("nowhere.parquet")
    assert fauxlens.FauxlensError is FauxlensError
