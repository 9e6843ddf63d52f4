"""What a model of the forge has to be given, by whom, on what terms, and where it is looked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fauxlens.core.errors import NoWeights
from fauxlens.detectors.store import store_folder

_END = 8 << 20
EMBEDDED = Path(__file__).parent / "weights"
"""What comes with the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One thing that its owner publishes: a repository on a model hub, or a file at an address."""

    repository: str
    licence: str
    bytes: int | None = None  # about; None when nobody told us
    part: str = ""  # the folder or file below the method's own folder where it is looked for
    files: tuple[str, ...] = ()  # which of its files; empty is all
    remark: str = ""

    @property
    def size(self) -> str:
        """About how large, in words.

        >>> Download(repository="a/b", licence="MIT", bytes=208_000_000).size
        'about 208 MB'
        """
        if self.bytes is None:
            return "size not stated"
        giga = self.bytes >= 1_000_000_000
        return f"about {self.bytes / 1e9:.1f} GB" if giga else f"about {self.bytes / 1e6:.0f} MB"


def forge_folder(name: str) -> Path:
    """Where the files of the method, provider or judge called `name` are looked for when nobody says."""
    return store_folder() / "forge" / name


def fingerprint(folder: Path) -> str:
    """One digest for the files at `folder`: what they are, so that a run is not finished with others.

    Large files are told by their size and both ends; their tensors have digests of their own in what is made.
    """
    digest = hashlib.sha256()
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder.parent)}|{size}\n".encode("utf-8", "surrogateescape"))
        with path.open("rb") as stream:
            digest.update(stream.read(_END))
            if size > _END:
                stream.seek(max(_END, size - _END))
                digest.update(stream.read(_END))
    return digest.hexdigest()


def find_weights(name: str, needs: Sequence[Download], given: Path | None) -> Path:
    """The folder (or file) with everything of `needs`, or NoWeights with what to fetch, its licence and its size."""
    folder = forge_folder(name) if given is None else Path(given)
    gone = [one for one in needs if not _is_there(folder, one)]
    if not gone:
        return folder
    wanted = "; ".join(
        f"{one.repository} ({one.licence}; {one.size})" + (f" in {one.part}" if one.part else "") for one in gone
    )
    raise NoWeights(
        f"{name} needs files that are not on this machine",
        where=folder,
        wanted=wanted,
        hint=" | ".join(_next_step(one, folder) for one in gone),
    )


def _is_there(folder: Path, one: Download) -> bool:
    at = folder / one.part if one.part else folder
    if folder.is_file():
        return not one.part or folder.name == one.part
    if one.files:
        return all((at / file).is_file() for file in one.files)
    return at.is_file() or (at.is_dir() and any(at.iterdir()))


def _next_step(one: Download, folder: Path) -> str:
    at = folder / one.part if one.part else folder
    if one.repository.startswith("https://"):
        return f"read its terms, download it and put it at {at}; or give its folder as `weights`"
    files = "".join(f" {file}" for file in one.files)
    return (
        f"read its terms, then `hf download {one.repository}{files} --local-dir {at}`; or give its folder as `weights`"
    )
