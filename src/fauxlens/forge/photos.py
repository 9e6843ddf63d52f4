"""Where real photos come from: a manifest, or a folder in which every picture is taken for one."""

from __future__ import annotations

from pathlib import Path

from fauxlens.core.errors import BadManifest
from fauxlens.manifest.layouts.layout import Tree
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.sample import Sample, sample_id
from fauxlens.manifest.scan import MEASURED, file_facts


def photos_of(path: Path, *, root: Path | None = None) -> Manifest:
    """The manifest at `path`; of a folder, one in which every picture is a real photo from that folder."""
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise BadManifest(
                "no such folder or manifest", where=path, hint="give a folder of photos, or a .parquet file"
            )
        return read_manifest(path, root=root)
    tree = Tree(path)
    source = path.resolve().name
    rows = []
    for name in tree.pictures:
        facts = dict(zip(MEASURED, file_facts(str(path), name), strict=True))
        id = sample_id(source, name)
        rows.append(Sample(id=id, path=name, label="real", source=source, origin=id, **facts))
    if not rows:
        raise BadManifest("no picture in this folder", where=path, hint="give a folder of photos, or a manifest")
    line = f"every picture of the folder '{source}' was taken for a real photo"
    return Manifest.from_samples(rows, path, name=source, history=(line,), facts={"every_picture_of": source})
