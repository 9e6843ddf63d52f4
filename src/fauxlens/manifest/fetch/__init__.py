"""What the owners publish for download, and where to ask for the rest. Nothing is re-hosted.

`SOURCES` states what the owners state; where they are silent, the entry says so and sends the reader to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fauxlens.core.errors import FetchError
from fauxlens.core.names import look_up, unknown
from fauxlens.manifest.fetch.outcome import FetchReport

__all__ = ["SOURCES", "FetchReport", "Source", "describe", "fetcher", "source"]


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset: what, where, how big, on which terms, what one needs; and how it is fetched, if it may be."""

    description: str
    where: str
    size: str
    terms: str
    needs: str
    ask: str | None = None  # why it is not fetched here and where to ask; None for what is

    @property
    def is_fetched(self) -> bool:
        """Whether this package fetches it."""
        return self.ask is None


SOURCES: dict[str, Source] = {
    "unbiased-genimage": Source(
        description="GenImage re-uploaded without its corrupted files, with a table of size, JPEG quality and content",
        where="Dataverse record doi:10.7910/DVN/AKDIHF",
        size="653.8 GB in 503 files: 500 pieces GenImage.z000 ... z499 of one Zip64 archive, and tables "
        "(genimage_metadata.csv, 224 MB, is enough for the audit of the published facts)",
        terms="The pictures are GenImage's: CC BY-NC-SA 4.0 and non-commercial terms. The authors' code carries no "
        "licence. Read the record's own terms before you fetch.",
        needs="disk for the pieces, and as much again for what is unpacked; joining them is not needed",
    ),
    "imaginet-ffhq": Source(
        description="the FFHQ faces that ImagiNet uses, by ImagiNet's list with a pixel digest for each",
        where="Google Drive, by the ids in download_scripts/ffhq_filenames.txt of delyan-boychev/imaginet",
        size="22,500 PNG pictures",
        terms="ImagiNet mixes CC-0, CC BY 4.0 and the terms of its sources; for these faces FFHQ's own terms hold. "
        "Read them at its owner's before you fetch.",
        needs="the list file from ImagiNet's repository; Drive limits downloads a day, so it may take several runs",
    ),
    "genimage": Source(
        description="GenImage as its authors published it: ImageNet and eight generators, 2.7 million pictures",
        where="the README of GenImage-Dataset/GenImage (also Andrew-Zhu/GenImage), on Baidu and Google Drive",
        size="1,331,167 real and 1,350,000 generated pictures",
        terms="CC BY-NC-SA 4.0 and non-commercial terms",
        needs="access to Baidu or to Google Drive; each is closed to some countries",
        ask="It is hosted on Baidu and Google Drive only; follow the README of GenImage-Dataset/GenImage. "
        "The same pictures, less the corrupted ones, are fetched by 'unbiased-genimage'.",
    ),
    "br-gen": Source(
        description="BR-Gen: masks and locally forged pictures; the real photos are named in lists, not included",
        where="the README of clpbc/BR-Gen; its split files are on Baidu",
        size="150,000 forged pictures of 15,000 real photos",
        terms="data non-commercial; code CC BY 4.0; the real photos are COCO's, ImageNet's and Places'",
        needs="your own copies of COCO train2017, ILSVRC2012 train and Places2 for the real photos",
        ask="Its split files are on Baidu only, and its real photos have other owners; follow the README of "
        "clpbc/BR-Gen, then let `fauxlens extract-reals` take the real photos from your copies.",
    ),
    "imaginet": Source(
        description="ImagiNet: real and generated photos, paintings, faces and others from many sources",
        where="the README of delyan-boychev/imaginet, which lists every source",
        size="200,000 pictures: 160,000 to train, 40,000 to test",
        terms="mixes CC-0, CC BY 4.0 and the terms of its sources, each of which holds for its part",
        needs="each source from its own owner, ImageNet and COCO among them",
        ask="Its parts belong to many owners, each with own terms; follow the README of delyan-boychev/imaginet. "
        "'imaginet-ffhq' fetches the faces; `fauxlens prune` finds what is not needed of the rest.",
    ),
}

_FETCHERS = {
    "unbiased-genimage": "fauxlens.manifest.fetch.dataverse:fetch_dataverse",
    "imaginet-ffhq": "fauxlens.manifest.fetch.ffhq:fetch_ffhq",
}


def source(name: str) -> Source:
    """The entry of `SOURCES`, or an error with the nearest name."""
    if name not in SOURCES:
        raise unknown(name, SOURCES, "dataset to fetch")
    return SOURCES[name]


def describe(name: str) -> str:
    """What a person should read before fetching `name`: what, where, size, terms, needs."""
    entry = source(name)
    lines = [
        f"{name}: {entry.description}",
        f"  where  {entry.where}",
        f"  size   {entry.size}",
        f"  terms  {entry.terms}",
        f"  needs  {entry.needs}",
    ]
    if entry.ask is not None:
        lines.append(f"  not fetched here: {entry.ask}")
    return "\n".join(lines)


def fetcher(name: str) -> Callable[..., FetchReport]:
    """The function that fetches `name`; for datasets that are not ours to fetch, an error that says where to ask."""
    entry = source(name)
    if entry.ask is not None:
        raise FetchError("this dataset is not fetched here", where=name, hint=entry.ask)
    function: Callable[..., FetchReport] = look_up(_FETCHERS, name, "dataset to fetch")
    return function
