"""Numbers that benchmarks published for several detectors, as the targets of their cards.

They are copied as printed (per cent became shares). Where a benchmark trained its own copy of a detector, the remark
says on what: such a number is no promise of the weights that the detector's authors gave away.
"""

from __future__ import annotations

from collections.abc import Mapping

from fauxlens.detectors.card import Target, WeightFile, WeightSet

GENIMAGE_COLUMNS = ("Midjourney", "SD V1.4", "SD V1.5", "ADM", "GLIDE", "Wukong", "VQDM", "BigGAN", "mean")

GENIMAGE_FROM_SD14: Mapping[str, tuple[float, ...]] = {
    "resnet50": (54.9, 99.9, 99.7, 53.5, 61.9, 98.2, 56.6, 52.0, 72.1),
    "deit-s": (55.6, 99.9, 99.8, 49.8, 58.1, 98.9, 56.9, 53.5, 71.6),
    "swin-t": (62.1, 99.9, 99.8, 49.8, 67.6, 99.1, 62.3, 57.6, 74.8),
    "cnnspot": (52.8, 96.3, 95.9, 50.1, 39.8, 78.6, 53.4, 46.8, 64.2),
    "spec": (52.0, 99.4, 99.2, 49.7, 49.8, 94.8, 55.6, 49.8, 68.8),
    "f3net": (50.1, 99.9, 99.9, 49.9, 50.0, 99.9, 49.9, 49.9, 68.7),
    "gramnet": (54.2, 99.2, 99.1, 50.3, 54.6, 98.9, 50.8, 51.7, 69.9),
}
"""GenImage, Table 3: trained on SD V1.4."""

GENIMAGE_OVER_ALL: Mapping[str, tuple[float, ...]] = {
    "resnet50": (59.0, 72.3, 72.4, 59.7, 73.1, 71.4, 60.9, 66.6, 66.9),
    "deit-s": (60.7, 74.2, 74.2, 59.5, 71.1, 73.1, 61.7, 66.3, 67.6),
    "swin-t": (61.7, 76.0, 76.1, 61.3, 76.9, 75.1, 65.8, 69.5, 70.3),
    "cnnspot": (58.2, 70.3, 70.2, 57.0, 57.1, 67.7, 56.7, 56.6, 61.7),
    "spec": (56.7, 72.4, 72.3, 57.9, 65.4, 70.3, 61.7, 64.3, 65.1),
    "f3net": (55.1, 73.1, 73.1, 66.5, 57.8, 72.3, 62.1, 56.5, 64.6),
    "gramnet": (58.1, 72.8, 72.7, 58.7, 65.3, 71.3, 57.8, 61.2, 64.7),
}
"""GenImage, Table 4: each number is the mean over eight detectors, one trained on each generator."""

GENIMAGE_DEGRADATIONS = ("112 pixels", "64 pixels", "JPEG 65", "JPEG 30", "blur 3", "blur 5", "mean")

GENIMAGE_DEGRADED: Mapping[str, tuple[float, ...]] = {
    "resnet50": (96.2, 57.4, 51.9, 51.2, 97.9, 69.4, 70.6),
    "deit-s": (97.1, 54.0, 55.6, 50.5, 94.4, 67.2, 69.8),
    "swin-t": (97.4, 54.6, 52.5, 50.9, 94.5, 52.5, 67.0),
    "cnnspot": (50.0, 50.0, 97.3, 97.3, 97.4, 77.9, 78.3),
    "spec": (50.0, 49.9, 50.8, 50.4, 49.9, 49.9, 50.1),
    "f3net": (50.0, 50.0, 89.0, 74.4, 57.9, 51.7, 62.1),
    "gramnet": (98.8, 94.9, 68.8, 53.4, 95.9, 81.6, 82.2),
}
"""GenImage, Table 5: trained on SD V1.4, tested on its own degraded pictures; means as printed, some truncated."""

UNBIASED_COLUMNS = ("Midjourney", "SD V1.5", "SD V1.4", "Wukong", "VQDM", "ADM", "GLIDE", "BigGAN", "mean")

UNBIASED_CONSTRAINED: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "resnet50": {
        "SD V1.5": (65.22, 98.11, 98.03, 92.83, 74.91, 77.18, 72.99, 91.96, 83.90),
        "SD V1.4": (65.22, 97.88, 97.81, 92.17, 73.31, 76.23, 73.07, 91.39, 83.39),
        "Wukong": (63.26, 96.73, 96.75, 96.64, 68.61, 68.23, 70.25, 86.95, 80.93),
    },
    "swin-t": {
        "SD V1.5": (69.05, 97.61, 97.88, 97.50, 80.80, 79.59, 74.75, 90.01, 85.90),
        "SD V1.4": (69.33, 98.06, 98.22, 95.45, 80.03, 83.73, 77.07, 92.48, 86.80),
        "Wukong": (68.32, 97.76, 98.06, 97.71, 78.67, 77.58, 71.88, 88.40, 84.80),
    },
}
"""UnbiasedGenImage's result figures: by the generator it was trained on, sizes and JPEG quality aligned."""

Pairs = Mapping[str, tuple[float, float]]

IMAGINET: Mapping[str, Pairs] = {
    "grag2021": {
        "GAN": (0.6889, 0.8403),
        "SD": (0.5140, 0.5217),
        "Midjourney": (0.4958, 0.5022),
        "DALL-E 3": (0.4128, 0.3905),
        "mean of the groups": (0.5279, 0.5637),
        "mean of the models": (0.5476, 0.5978),
        "mean of the contents": (0.5598, 0.6134),
    },
    "corvi2022": {
        "GAN": (0.6822, 0.8033),
        "SD": (0.6112, 0.6851),
        "Midjourney": (0.5826, 0.6092),
        "DALL-E 3": (0.5180, 0.5270),
        "mean of the groups": (0.5985, 0.6562),
        "mean of the models": (0.6169, 0.6933),
        "mean of the contents": (0.6151, 0.7111),
    },
    "imaginet-v0": {
        "GAN": (0.8242, 0.8871),
        "SD": (0.9145, 0.9724),
        "Midjourney": (0.8844, 0.9448),
        "DALL-E 3": (0.9120, 0.9709),
        "mean of the groups": (0.8838, 0.9438),
        "mean of the models": (0.8742, 0.9342),
        "mean of the contents": (0.8703, 0.9317),
    },
    "imaginet": {
        "GAN": (0.9372, 0.9886),
        "SD": (0.9608, 0.9922),
        "Midjourney": (0.9652, 0.9949),
        "DALL-E 3": (0.9724, 0.9963),
        "mean of the groups": (0.9589, 0.9930),
        "mean of the models": (0.9564, 0.9924),
        "mean of the contents": (0.9523, 0.9897),
    },
}
"""ImagiNet's perturbed test set: balanced accuracy at 0.5 and AUC, after a logistic fit on 80 of its pictures."""


IMAGINET_MILLISECONDS: Mapping[str, float] = {
    "grag2021": 24.23,
    "corvi2022": 48.75,
    "lasted": 15.92,
    "imaginet-v0": 1.84,
}
"""One picture of 448x448 on an RTX 4090. Its own 1.84 can only be that of its first network: the second one takes its
first steps at full resolution, as Grag2021 does."""


def shares(
    columns: Mapping[str, float], *, set_name: str, metric: str, source: str, remark: str = ""
) -> tuple[Target, ...]:
    """Numbers printed in per cent, one a column of a table, as targets in 0..1.

    >>> shares({"ADM": 53.5}, set_name="GenImage", metric="accuracy", source="its Table 3")[0].value
    0.535
    """
    return tuple(
        Target(data=f"{set_name}, {name}", metric=metric, value=round(value / 100, 5), source=source, remark=remark)
        for name, value in columns.items()
    )


def genimage(name: str) -> tuple[Target, ...]:
    """What GenImage published for a detector that it trained itself."""
    found: tuple[Target, ...] = ()
    for table, columns, number, what, trained in (
        (GENIMAGE_FROM_SD14, GENIMAGE_COLUMNS, 3, "GenImage", "trained on SD V1.4"),
        (GENIMAGE_OVER_ALL, GENIMAGE_COLUMNS, 4, "GenImage", "mean over eight trainings, one a generator"),
        (GENIMAGE_DEGRADED, GENIMAGE_DEGRADATIONS, 5, "GenImage SD V1.4 degraded", "trained on SD V1.4"),
    ):
        values = dict(zip(columns, table[name], strict=True))
        source = f"GenImage, Table {number}"
        found += shares(values, set_name=what, metric="accuracy", source=source, remark=trained)
    return found


def unbiased(name: str) -> tuple[Target, ...]:
    """What UnbiasedGenImage published for a detector that it trained itself with the biases taken away."""
    found: tuple[Target, ...] = ()
    for trained, values in UNBIASED_CONSTRAINED[name].items():
        found += shares(
            dict(zip(UNBIASED_COLUMNS, values, strict=True)),
            set_name="GenImage", metric="accuracy", source="UnbiasedGenImage, its result figures",
            remark=f"trained on {trained} with sizes 450 to 550 and JPEG quality 96",
        )  # fmt: skip
    return found


def imaginet(name: str) -> tuple[Target, ...]:
    """What ImagiNet published for a detector on its test set."""
    source = "ImagiNet, its README" if name != "imaginet" else "ImagiNet, its result files of July 2024"
    return tuple(
        Target(data=f"ImagiNet, {column}", metric=metric, value=value, source=source,
               remark="after a logistic fit on 80 pictures of the test set")
        for column, pair in IMAGINET[name].items()
        for metric, value in zip(("balanced accuracy", "AUC"), pair, strict=True)
    ) + milliseconds(name)  # fmt: skip


def milliseconds(name: str) -> tuple[Target, ...]:
    """How long ImagiNet found a detector to take; nothing where it did not say."""
    told = IMAGINET_MILLISECONDS.get(name)
    data, source = "one picture of 448x448 on an RTX 4090", "ImagiNet, its README"
    return () if told is None else (Target(data=data, metric="milliseconds", value=told, source=source),)


def trained_by_genimage(file: str, code: str) -> WeightSet:
    """The set that training with GenImage's own code leaves; nobody gives one away. Folders say the label order."""
    return WeightSet(
        name="genimage",
        files=(
            WeightFile(
                name=file,
                source="https://github.com/GenImage-Dataset/GenImage",
                released=False,
                remark="not given away: the benchmark's own training writes it; the name is inferred",
            ),
        ),
        licence="none stated; the pictures are CC BY-NC-SA 4.0, no commercial use",
        use="non-commercial",
        terms=f"no weights were released: train your own with {code} and import what it saves",
        trained_on="GenImage, one generator or all",
        setting="genimage",
        labels=("ai", "nature"),
    )


def trained_by_unbiased_genimage(file: str) -> WeightSet:
    """The set that training with UnbiasedGenImage's code leaves, whose label order is the other one."""
    return WeightSet(
        name="unbiased",
        files=(
            WeightFile(
                name=file,
                source="https://github.com/gendetection/UnbiasedGenImage",
                released=False,
                remark="not known to be given away: the authors' training writes it; the name is inferred",
            ),
        ),
        licence="none stated; the pictures are GenImage's: CC BY-NC-SA 4.0, no commercial use",
        use="non-commercial",
        terms="no released weights are known: train your own with the authors' code and import what it saves",
        trained_on="GenImage with sizes and JPEG quality of both classes aligned, one generator",
        setting="unbiased",
        labels=("nature", "ai"),
    )


LABEL_ORDERS = (
    "The order of the two classes is no part of a file. With the wrong setting every verdict is turned around: try it "
    "on pictures you know.",
    "Trained on GenImage as it is, it tells PNG from JPEG as well as fake from real.",
)
"""What must be known of both."""
