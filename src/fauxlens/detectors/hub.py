"""Weights from their owner's own page on the Hugging Face hub, only when asked for. Nothing is re-hosted.

A `Hub` is anything that turns a file on a card into a file on this machine. `from_hub` asks the hub itself
(and whatever huggingface_hub is told by its own environment: HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE);
`from_folder` looks into a folder, for machines without a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fauxlens.core.errors import BadSetting, FetchError
from fauxlens.detectors.card import WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.importing import Imported, asked_for, import_files
from fauxlens.detectors.load import weight_set

Hub = Callable[[WeightFile], Path]
"""A file as its card tells of it -> the file, here; a FetchError when it cannot be had."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `get` would do: the files it can fetch, and those whose owner has no page on the hub."""

    detector: str
    weights: WeightSet
    fetched: tuple[WeightFile, ...]
    by_hand: tuple[WeightFile, ...]

    @property
    def asked(self) -> str:
        """DETECTOR/SET."""
        return f"{self.detector}/{self.weights.name}"

    @property
    def how_by_hand(self) -> str:
        """Where the rest is to be had, and what to type then; in one line."""
        return by_hand(self.asked, self.by_hand)


def wanted(name: str, *, anywhere: bool = False) -> Wanted:
    """What there is to get for DETECTOR or DETECTOR/SET; without a set, the first of its default setting.

    `anywhere`: files without a page on the hub are looked for as well, in a folder that stands in for it.
    """
    kind, chosen = asked_for(name)
    chosen = chosen or _first_to_fetch(kind)
    return Wanted(
        kind.card.name,
        chosen,
        tuple(file for file in chosen.files if file.hub or anywhere),
        tuple(file for file in chosen.files if not file.hub and not anywhere),
    )


def get(plan: Wanted, hub: Hub, *, store: Path | None = None) -> Imported:
    """Fetch what can be fetched and import it; the terms were accepted before."""
    if not plan.fetched:
        raise BadSetting("its owner publishes it elsewhere than on the hub", where=plan.asked, hint=plan.how_by_hand)
    return import_files(plan.asked, [hub(file) for file in plan.fetched], store=store)


def from_hub(file: WeightFile) -> Path:
    """The file from the hub, or from its cache on this machine when it was fetched before."""
    from huggingface_hub import errors, hf_hub_download

    if file.hub is None:
        raise FetchError(f"{file.name} is not on the hub", hint=f"see {file.source}")
    page, name = f"https://huggingface.co/{file.hub}", file.hub_name or file.name
    try:
        return Path(hf_hub_download(file.hub, name, revision=file.revision))
    except errors.GatedRepoError as refused:
        raise FetchError("the owner wants you to ask for access first", where=page,
                         hint=f"accept the terms on {page}, then log in with `hf auth login`") from refused  # fmt: skip
    except errors.LocalEntryNotFoundError as offline:
        raise _unreachable(page, name, offline) from offline
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as gone:
        what = name
        if isinstance(gone, errors.RepositoryNotFoundError):
            what = "the repository"
        elif isinstance(gone, errors.RevisionNotFoundError):
            what = f"its revision {file.revision}"
        hint = "look on the owner's page where it went, and import the file by hand"
        raise FetchError(f"{what} is not on the hub any more", where=page, hint=hint) from gone
    except Exception as fault:
        # Whichever library carries the bytes has errors of its own; anything else is a fault of ours.
        if not isinstance(fault, OSError) and type(fault).__module__.partition(".")[0] not in _CARRIERS:
            raise
        raise _unreachable(page, name, fault) from fault


def from_folder(folder: Path) -> Hub:
    """A folder that stands in for the hub: FOLDER/OWNER/REPOSITORY/FILE or FOLDER/FILE."""

    def look(file: WeightFile) -> Path:
        names = list(dict.fromkeys((file.hub_name or file.name, file.name)))
        bases = [folder / file.hub, folder] if file.hub else [folder]
        found = next((path for base in bases for name in names if (path := base / name).is_file()), None)
        if found is None:
            hint = f"put it there, or into {file.hub} in there" if file.hub else "put it there"
            raise FetchError(f"{' or '.join(names)} is not in this folder", where=folder, hint=hint)
        return found

    return look


def by_hand(asked: str, files: Sequence[WeightFile]) -> str:
    """Where files are to be had that are not on the hub, and what to type then; in one line."""
    names = " ".join(file.name for file in files)
    if not any(file.released for file in files):
        return f"nobody gives it away: train your own, then `fauxlens weights import {asked} FILE`"
    sources = " and ".join(sorted({file.source for file in files}))
    return f"download {names} from {sources}, then `fauxlens weights import {asked} {names}`"


_CARRIERS = ("huggingface_hub", "httpx", "httpx2", "httpcore", "requests", "urllib3", "hf_xet")


def _unreachable(page: str, name: str, fault: BaseException) -> FetchError:
    cause = fault.__cause__ or fault.__context__
    told = str(fault if cause is None else cause).strip().splitlines() or [type(fault).__name__]
    return FetchError(
        f"{name} could not be fetched: {told[0]}", where=page,
        hint="the same command goes on from here when the network is back; or fetch it on another machine and give "
        "its folder with --from",
    )  # fmt: skip


def _first_to_fetch(kind: type[Detector]) -> WeightSet:
    default = weight_set(kind, None)
    return (
        default
        if any(file.hub for file in default.files)
        else next((one for one in kind.card.weights if all(file.hub for file in one.files)), default)
    )
