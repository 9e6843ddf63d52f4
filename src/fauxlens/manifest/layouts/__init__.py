"""Dataset layouts, one file each. A new layout is a new file here and one line in this table."""

LAYOUTS: dict[str, str] = {
    "folder": "fauxlens.manifest.layouts.folder:LAYOUT",
    "brgen": "fauxlens.manifest.layouts.brgen:LAYOUT",
    "genimage": "fauxlens.manifest.layouts.genimage:LAYOUT",
    "imaginet": "fauxlens.manifest.layouts.imaginet:LAYOUT",
    "unbiased-genimage": "fauxlens.manifest.layouts.unbiased_genimage:LAYOUT",
    "imdl": "fauxlens.manifest.layouts.imdl:LAYOUT",
}
