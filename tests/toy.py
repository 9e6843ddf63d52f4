"""Tiny trees of every dataset layout, drawn by code: the same bytes every time, the formats of the real sets.

Each function draws one tree under `root` and returns what a reader must find: `entries`, `labels`, `splits`,
`generators` (None for reals), `masks` (entries that have one) and `left_out` (path -> a part of the reason).
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Expected = dict[str, Any]


class Row(NamedTuple):
    """What is expected of one entry."""

    label: str
    split: str | None = None
    generator: str | None = None
    mask: bool = False


class ToyTree(NamedTuple):
    """One tree of the table: who draws it, and which layout must recognise it."""

    draw: Callable[[Path], Expected]
    layout: str


def picture(path: Path, *, seed: int, width: int = 32, height: int = 24, **save: Any) -> Path:
    """Draw a small picture: two gradients, a disc and a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    start, end = chance.integers(0, 256, (2, 3))
    slope = np.linspace(0, 1, width)[None, :, None] * 0.7 + np.linspace(0, 1, height)[:, None, None] * 0.3
    pixels = start + (end - start) * slope + chance.normal(0, 3, (height, width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    x, y = (int(v) for v in chance.integers(0, [width // 2, height // 2]))
    ImageDraw.Draw(image).ellipse([x, y, x + width // 3, y + height // 3], fill=tuple(int(v) for v in end))
    if path.suffix.lower() in (".jpg", ".jpeg"):
        save = {"quality": 96, "subsampling": 0, **save}
    elif path.suffix.lower() == ".webp":
        save = {"lossless": True, **save}
    image.save(path, **save)
    return path


def mask(path: Path, *, width: int = 32, height: int = 24) -> Path:
    """Draw a mask: a white box on black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).rectangle([width // 4, height // 4, width // 2, height // 2], fill=255)
    image.save(path)
    return path


def expected(rows: Iterable[Row], left_out: dict[str, str] | None = None) -> Expected:
    """The counts of the rows."""
    rows = list(rows)
    return {
        "entries": len(rows),
        "labels": dict(Counter(row.label for row in rows)),
        "splits": dict(Counter(row.split for row in rows)),
        "generators": dict(Counter(row.generator for row in rows)),
        "masks": sum(row.mask for row in rows),
        "left_out": left_out or {},
    }


def folder_names(root: Path) -> Expected:
    """Classes by folder names, with masks in a sibling folder and one by suffix."""
    rows = []
    for split, count in (("train", 4), ("validation", 2)):
        for i in range(count):
            ours = "val" if split == "validation" else split
            picture(root / split / "real" / "phone" / f"{i}.jpg", seed=i, width=40)
            picture(root / split / "fake" / "stylegan" / f"{i}.PNG", seed=50 + i, width=32, height=32)
            rows += [Row("real", ours), Row("generated", ours, "stylegan")]
    for i in range(3):
        picture(root / "test" / "tampered" / f"x_{i}.png", seed=80 + i)
        mask(root / "test" / "masks" / f"x_{i}.png")
        rows.append(Row("edited", "test", mask=True))
    picture(root / "test" / "fake" / "lama" / "y.png", seed=90)
    mask(root / "test" / "fake" / "lama" / "y_mask.png")
    rows.append(Row("edited", "test", "lama", mask=True))
    mask(root / "test" / "masks" / "nobody.png")
    picture(root / "unsorted" / "z.jpg", seed=91)
    picture(root / "real" / "ai" / "both.jpg", seed=92)
    (root / "README.txt").write_text("toy\n")
    return expected(
        rows,
        {
            "test/masks/nobody.png": "a mask without a fake",
            "unsorted/z.jpg": "no class in its path",
            "real/ai/both.jpg": "contradict each other",
            "README.txt": "not a picture",
        },
    )


def folder_list(root: Path) -> Expected:
    """A manifest.csv with other people's column names."""
    rows, records = [], []
    for i in range(10):
        kind = ("real", "ai")[i % 2]
        name = f"pics/{i}." + ("jpg" if kind == "real" else "png")
        picture(root / name, seed=i)
        split = "train" if i < 6 else "devtest"
        records.append(
            [name, kind, "" if kind == "real" else "dreamer", "96", f"g{i // 2}", split, "CC0-1.0", "toy", "x"]
        )
        rows.append(Row(("real", "generated")[i % 2], split, None if kind == "real" else "dreamer"))
    picture(root / "pics" / "odd.jpg", seed=20)
    picture(root / "pics" / "stray.jpg", seed=21)
    records.append(["pics/gone.jpg", "real", "", "96", "g9", "train", "CC0-1.0", "", "x"])
    records.append(["pics/odd.jpg", "painting?", "", "96", "g9", "train", "CC0-1.0", "", "x"])
    records.append(["pics/0.jpg", "ai", "", "96", "g0", "train", "CC0-1.0", "", "x"])
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "kind", "generator", "jpeg_q", "group", "split", "license", "note", "mood"])
        writer.writerows(records)
    return expected(
        rows,
        {
            "pics/gone.jpg": "not on disk",
            "pics/odd.jpg": "'painting?'",
            "pics/stray.jpg": "not in manifest.csv",
            "manifest.csv:14": "pics/0.jpg, named before in manifest.csv:2",
        },
    )


_REALS = (("COCO", "00000000520"), ("ImageNet", "n06359193_84719"), ("Places", "Places365_val_00000001"))


def brgen_release(root: Path) -> Expected:
    """The release: masks and forgeries by mask type and method, reals by list, splits by JSON; one real is absent."""
    rows, train = [], []
    for number, (source, stem) in enumerate(_REALS):
        split = "train" if number < 2 else "test"
        folder = root / "RealImage" / source
        folder.mkdir(parents=True)
        (folder / f"{source}_image_list.txt").write_text(f"{stem}.jpg\n")
        if number != 1:
            picture(folder / f"{stem}.jpg", seed=number)
            rows.append(Row("real", split))
        if split == "train":
            train.append([f"RealImage/{source}/{stem}.jpg", "Negative"])
        for mask_type in ("Stuff", "Background"):
            mask(root / mask_type / "masks" / f"{source}_{stem}.png")
            for method in ("LaMa", "MAT", "SDXL", "BrushNet", "PowerPaint")[: 3 if number else 5]:
                picture(root / mask_type / method / f"{source}_{stem}.png", seed=10 * number + len(method))
                rows.append(Row("edited", split, method, mask=True))
    # As in the official list, the paths are those of the owners' disk, and only one forgery a real is named.
    train.append(["/disk9/brgen/Stuff/MAT/COCO_00000000520.png", "/disk9/brgen/Stuff/masks/COCO_00000000520.png"])
    train[-1][0] = "Stuff/MAT/COCO_00000000520.png"
    (root / "train.json").write_text(json.dumps(train))
    (root / "test.json").write_text(json.dumps([["RealImage/Places/Places365_val_00000001.jpg", "Negative"]]))
    picture(root / "Stuff" / "LaMa" / "COCO_lonely.png", seed=99)
    mask(root / "Background" / "masks" / "COCO_unused.png")
    return expected(
        rows,
        {
            "RealImage/ImageNet/n06359193_84719.jpg": "not on disk",
            "Stuff/LaMa/COCO_lonely.png": "no mask of its name",
            "Background/masks/COCO_unused.png": "without a forgery",
        },
    )


def brgen_evaluation(root: Path) -> Expected:
    """An evaluation folder: Au, Tp, Gt, all PNG."""
    rows = []
    folder = root / "BRGen-Stuff-Val"
    for number, (source, stem) in enumerate(_REALS):
        picture(folder / "Au" / f"{source}_{stem}.png", seed=number)
        rows.append(Row("real", "val"))
        for method in ("MAT", "PowerPaint", "LaMa"):
            name = f"{method}_Stuff_{source}_{stem}"
            picture(folder / "Tp" / f"{name}.png", seed=number * 7 + len(method))
            mask(folder / "Gt" / f"{name}_mask.png")
            rows.append(Row("edited", "val", method, mask=True))
    picture(folder / "Tp" / "holiday.png", seed=77)
    return expected(rows, {"BRGen-Stuff-Val/Tp/holiday.png": "no method"})


_GENIMAGE = (
    ("Midjourney/imagenet_midjourney", "{c}_midjourney_{n}.png", "Midjourney"),
    ("Stable Diffusion V1.4", "{c:03}_sdv4_{n:05}.png", "stable_diffusion_v_1_4"),
    ("ADM/imagenet_ai_0508_adm", "{c}_adm_{n}.PNG", "ADM"),
    ("glide/imagenet_glide", "GLIDE_1000_200_00_{c:03}_glide_{n:05}.png", "glide"),
    ("BigGAN/imagenet_ai_0419_biggan", "{c:03}_biggan_{n:05}.png", "BigGAN"),
)


_GENIMAGE_REST = (
    ("stable_diffusion_v_1_5/imagenet_ai_0424_sdv5", "{c:03}_sdv5_{n:05}.png", "stable_diffusion_v_1_5"),
    ("wukong/imagenet_ai_0424_wukong", "{c}_wukong_image{n}.png", "wukong"),
    ("VQDM/imagenet_ai_0419_vqdm", "VQDM_1000_200_00_{c:03}_vqdm_{n:05}.png", "VQDM"),
)


def genimage(root: Path, *, whole: bool = False) -> Expected:
    """Five of the eight generators, or the `whole` of them, in several spellings; one with class folders."""
    rows = []
    for number, (folder, pattern, generator) in enumerate((*_GENIMAGE, *_GENIMAGE_REST) if whole else _GENIMAGE):
        for split in ("train", "val"):
            within = "n01440764/" if generator == "ADM" else ""
            real = f"n01440764_{number}.JPEG" if split == "train" else f"ILSVRC2012_val_{number:08}.JPEG"
            picture(root / folder / split / "nature" / (within + real), seed=number, width=48, height=36)
            rows.append(Row("real", split))
            for n in range(2 if split == "train" else 1):
                fake = pattern.format(c=7, n=n)
                picture(root / folder / split / "ai" / (within + fake), seed=90 + n, width=32, height=32)
                rows.append(Row("generated", split, generator))
    picture(root / "ADM" / "preview.png", seed=5)
    return expected(rows, {"ADM/preview.png": "not under"})


def genimage_merged(root: Path) -> Expected:
    """All generators merged, as the README advises for training."""
    rows = []
    for number, (_, pattern, generator) in enumerate(_GENIMAGE):
        for split in ("train", "val"):
            picture(root / "imagenet_ai" / split / "ai" / pattern.format(c=number, n=1), seed=number)
            picture(root / "imagenet_ai" / split / "nature" / f"n0144076{number}_{len(split)}.JPEG", seed=number + 30)
            rows += [Row("generated", split, generator), Row("real", split)]
    picture(root / "imagenet_ai" / "val" / "ai" / "holiday.png", seed=60)
    return expected(rows, {"imagenet_ai/val/ai/holiday.png": "no generator"})


_IMAGINET = (
    ("imagenet/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", "0,0,4,8"),
    ("val2017/000000000139.jpg", "0,0,4,8"),
    ("ffhq/00001.png", "0,2,4,8"),
    ("wikiart/Pop_Art/caf\u00c3\u00ad\u0085, soup.jpg", "0,1,4,8"),
    ("photozilla/dataset/food/1.jpg", "0,3,4,8"),
    ("progan_val/cat/1_fake/1.png", "1,0,0,0"),
    ("ffhq_stylegan/1.png", "1,2,0,1"),
    ("sd_photos_fake/1.webp", "1,0,1,3"),
    ("animaginexl_paintings_fake/1.webp", "1,1,1,5"),
    ("journeydb/1.jpg", "1,3,2,6"),
    ("dalle3_addition2/1.png", "1,3,3,7"),
)
_IMAGINET_REST = (
    ("ffhq/00003.png", "0,2,4,8"),
    ("photozilla/dataset/pets/2.jpg", "0,3,4,8"),
    ("wikiart_stylegan/1.png", "1,1,0,2"),
    ("sdxl_faces_fake/1.webp", "1,2,1,4"),
    ("dalle3/2.png", "1,3,3,7"),
    ("dalle3_addition/3.png", "1,3,3,7"),
)
_IMAGINET_MODELS = {
    "0": "ProGAN",
    "1": "StyleGAN-XL",
    "2": "StyleGAN3",
    "4": "SDXL v1.0",
    "3": "SD v2.1",
    "5": "Animagine XL",
    "6": "Midjourney",
    "7": "DALL-E 3",
}
_CONTENTS = ("photos", "paintings", "faces", "uncategorized")


def imaginet(root: Path, *, whole: bool = False) -> Expected:
    """Annotation files over source folders, group files that draw reals repeatedly, and the rendered test set.

    Six of the eight models, or the `whole` of them.
    """
    listed = (*_IMAGINET, *_IMAGINET_REST) if whole else _IMAGINET
    rows, ids_of = [], dict(listed)
    lines = [f"./{path},{ids}" for path, ids in listed]
    for number, (path, ids) in enumerate(listed):
        picture(root / path, seed=number)
        rows.append(_imaginet_row(ids, "test"))
    picture(root / "train2017" / "1.jpg", seed=40)
    rows.append(Row("real", "train"))
    lists = {
        "train_annotations": ["./train2017/1.jpg,0,0,4,8", "./train2017/gone.jpg,0,0,4,8"],
        "test_annotations": lines,
    }
    reals = [path for path, ids in listed if ids[0] == "0"]
    number_of = {"gan": 0, "sd": 15_000, "midjourney": 30_000, "dalle3": 35_000}
    rendered_all = []
    for group_id, (group, number) in enumerate(number_of.items()):
        fakes = [path for path, ids in listed if ids.split(",")[2] == str(group_id)]
        drawn = [reals[(group_id + i // 2) % len(reals)] for i in range(len(fakes))]
        original, rendered = [], []
        for i, path in enumerate(fakes + drawn):
            ids = ids_of[path]
            below = f"synthetic/{group}" if ids[0] == "1" else "real"
            target = f"testset/{_CONTENTS[int(ids[2])]}/{below}/{number + i:05}.webp"
            picture(root / target, seed=200 + number + i, width=16, height=16)
            rows.append(_imaginet_row(ids, "test"))
            original.append(f"./{path},{ids}")
            rendered.append(f"./{target},{ids}")
        lists[f"test_annotations_{group}"], lists[f"test_{group}"] = original, rendered
        rendered_all += rendered
    lists["test_all"] = rendered_all
    fakes = [line for line in rendered_all if line.split(",")[-4] == "1"]
    # As in the real list, of both classes; of the whole, no model's only fake.
    first_real = next(line for line in rendered_all if line not in fakes)
    lists["test_calibration"] = [fakes[-1] if whole else fakes[0], first_real]
    lists["lasted_anchor"] = rendered_all[-1:]
    lists["test_annotations"] = [*lines, "./broken.png,0,0", "./ffhq/00002.png,0,2,3,8"]
    (root / "annotations").mkdir()
    for name, content in lists.items():
        (root / "annotations" / f"{name}.txt").write_bytes(("\n".join(content) + "\n").encode())
    picture(root / "journeydb" / "not_listed.jpg", seed=70)
    return expected(
        rows,
        {
            "train2017/gone.jpg": "not on disk",
            "journeydb/not_listed.jpg": "in no annotation file",
            f"annotations/test_annotations.txt:{len(lines) + 1}": "3 columns",
            f"annotations/test_annotations.txt:{len(lines) + 2}": "contradict each other",
        },
    )


def imaginet_testset(root: Path) -> Expected:
    """The rendered test set alone, without annotation files."""
    rows = []
    for folder, number, generator in (
        ("photos/real", 7_500, None),
        ("faces/real", 15_001, None),
        ("faces/synthetic/gan", 1, "StyleGAN-XL"),
        ("photos/synthetic/gan", 2, None),
        ("photos/synthetic/sd", 15_002, None),
        ("uncategorized/synthetic/midjourney", 30_000, "Midjourney"),
        ("uncategorized/synthetic/dalle3", 35_000, "DALL-E 3"),
    ):
        for i in range(3):
            picture(root / "testset" / folder / f"{number + i:05}.webp", seed=number + i, width=16, height=16)
            rows.append(Row("generated" if "synthetic" in folder else "real", "test", generator))
    picture(root / "testset" / "faces" / "synthetic" / "sd" / "00009.webp", seed=9)
    return expected(rows, {"testset/faces/synthetic/sd/00009.webp": "belongs to gan"})


def _imaginet_row(ids: str, split: str) -> Row:
    label, model = ids[0], ids[-1]
    return Row("generated", split, _IMAGINET_MODELS[model]) if label == "1" else Row("real", split)


_UNBIASED = (("ADM", "imagenet_ai_0508_adm", "ADM"), ("wukong", "imagenet_ai_0424_wukong", "wukong"))
_UNBIASED_REST = (
    ("Midjourney", "imagenet_midjourney", "Midjourney"),
    ("stable_diffusion_v_1_4", "imagenet_ai_0419_sdv4", "stable_diffusion_v_1_4"),
    ("stable_diffusion_v_1_5", "imagenet_ai_0424_sdv5", "stable_diffusion_v_1_5"),
    ("glide", "imagenet_glide", "glide"),
    ("VQDM", "imagenet_ai_0419_vqdm", "VQDM"),
    ("BigGAN", "imagenet_ai_0419_biggan", "BigGAN"),
)


def unbiased_genimage(root: Path, *, files: bool = True, whole: bool = False) -> Expected:
    """The metadata table over a GenImage tree whose archives have their imagenet_* folders; one file corrupted.

    Two generators, or the `whole` of them.
    """
    rows = []
    lines = ["path,generator,mode,class,width,height,compression_rate"]
    for number, (folder, archive, generator) in enumerate((*_UNBIASED, *_UNBIASED_REST) if whole else _UNBIASED):
        for split in ("train", "val"):
            for n in range(3):
                real, fake = f"n01440764_{number}{n}.JPEG", f"{n}_{generator.lower()}_{n}.PNG"
                if files:
                    picture(root / folder / archive / split / "nature" / real, seed=n, width=48, height=36)
                    picture(root / folder / archive / split / "ai" / fake, seed=50 + n, width=32, height=32)
                lines.append(f"GenImage/{folder}/{split}/nature/{real},nature,{split},0,48,36,96")
                rate = ("", "nan", "0")[n]
                lines.append(f"GenImage/{folder}/{split}/ai/{fake},{generator},{split},{n},32,32,{rate}")
                rows += [Row("real", split), Row("generated", split, generator)]
    lines.append("GenImage/ADM/val/ai/9_adm_9.PNG,Imagen,val,9,32,32,")
    left_out = {"GenImage/ADM/val/ai/9_adm_9.PNG": "'Imagen'"}
    if files:
        (root / "corrupted_files.txt").write_text("GenImage/ADM/train/ai/0_adm_0.PNG\n")
        rows.remove(Row("generated", "train", "ADM"))
        lines.append("GenImage/ADM/val/ai/8_adm_8.PNG,ADM,val,8,32,32,")
        picture(root / "ADM" / "imagenet_ai_0508_adm" / "val" / "ai" / "77_adm_77.PNG", seed=77)
        left_out |= {
            "ADM/imagenet_ai_0508_adm/train/ai/0_adm_0.PNG": "corrupted",
            "GenImage/ADM/val/ai/8_adm_8.PNG": "not on disk",
            "ADM/imagenet_ai_0508_adm/val/ai/77_adm_77.PNG": "not in genimage_metadata.csv",
        }
    (root / "genimage_metadata.csv").write_text("\n".join(lines) + "\n")
    return expected(rows, left_out)


def unbiased_genimage_table(root: Path) -> Expected:
    """The metadata table alone."""
    return unbiased_genimage(root, files=False)


def imdl(root: Path) -> Expected:
    """Two Tp/Gt folders; in the second a missing mask shifts the reference's pairing by position."""
    rows = []
    for i in range(6):
        picture(root / "CASIA" / "Tp" / f"Tp_D_{i}.jpg", seed=i)
        mask(root / "CASIA" / "Gt" / f"Tp_D_{i}_gt.png")
        picture(root / "CASIA" / "Au" / f"Au_{i}.jpg", seed=20 + i)
        rows += [Row("edited", mask=True), Row("real")]
    for i in range(5):
        picture(root / "NIST" / "Tp" / f"{i}.tif", seed=40 + i)
        if i != 1:
            mask(root / "NIST" / "Gt" / f"{i}.png")
            rows.append(Row("edited", mask=True))
    mask(root / "NIST" / "Gt" / "nobody.png")
    return expected(rows, {"NIST/Tp/1.tif": "no mask of its name", "NIST/Gt/nobody.png": "without a picture"})


def imdl_lists(root: Path) -> Expected:
    """JSON lists with absolute and relative paths, a balanced list and a test file."""
    rows = []
    train, test = [], []
    for i in range(8):
        picture(root / "images" / f"{i}.jpg", seed=i)
        if i % 2:
            mask(root / "labels" / f"{i}.png")
        split = "train" if i < 6 else "test"
        (train if i < 6 else test).append([f"images/{i}.jpg", f"labels/{i}.png" if i % 2 else "Negative"])
        rows.append(Row("edited" if i % 2 else "real", split, mask=bool(i % 2)))
    train[0][0] = (root / train[0][0]).as_posix()
    train += [["/elsewhere/a.jpg", "Negative"], ["images/gone.jpg", "Negative"], ["images/only.jpg"]]
    for i in range(3):
        picture(root / "Mani" / "Tp" / f"{i}.png", seed=60 + i)
        mask(root / "Mani" / "Gt" / f"{i}.png")
        rows.append(Row("edited", "test", mask=True))
    (root / "train.json").write_text(json.dumps(train))
    (root / "casia_test.json").write_text(json.dumps(test))
    (root / "balanced.json").write_text(json.dumps([["JsonDataset", "train.json"], ["ManiDataset", "Mani"]]))
    (root / "tests.json").write_text(json.dumps({"Mani-Test": "Mani", "Lost": "/elsewhere/set"}))
    picture(root / "images" / "stray.jpg", seed=70)
    return expected(
        rows,
        {
            "/elsewhere/a.jpg": "outside the root",
            "images/gone.jpg": "not on disk",
            "train.json:9": "no [image, mask",
            "images/stray.jpg": "in no Tp, Gt or Au folder",
            "tests.json: Lost": "outside the root",
        },
    )


TREES: dict[str, ToyTree] = {
    "folder_names": ToyTree(folder_names, "folder"),
    "folder_list": ToyTree(folder_list, "folder"),
    "brgen_release": ToyTree(brgen_release, "brgen"),
    "brgen_evaluation": ToyTree(brgen_evaluation, "brgen"),
    "genimage": ToyTree(genimage, "genimage"),
    "genimage_merged": ToyTree(genimage_merged, "genimage"),
    "imaginet": ToyTree(imaginet, "imaginet"),
    "imaginet_testset": ToyTree(imaginet_testset, "imaginet"),
    "unbiased_genimage": ToyTree(unbiased_genimage, "unbiased-genimage"),
    "unbiased_genimage_table": ToyTree(unbiased_genimage_table, "unbiased-genimage"),
    "imdl": ToyTree(imdl, "imdl"),
    "imdl_lists": ToyTree(imdl_lists, "imdl"),
}
