"""The numbers that the BR-Gen paper printed for a detector, as targets of its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fauxlens.detectors.card import Target

_WHOLE = ("recall of real at 0.5", "recall of fake at 0.5", "F1", "AUC", "IoU")
_PARTS = ("GAN", "diffusion", "background", "stuff")
_REAL, _FAKE = _WHOLE[:2]

Row = tuple[float | None, ...]

RELEASED: Mapping[str, tuple[Row, Row]] = {
    "mantra-net": ((0.822, 0.069, 0.123, None, 0.008), (0.074, 0.061, 0.077, 0.058)),
    "mvss-net": ((0.862, 0.122, 0.183, 0.344, 0.029), (0.154, 0.098, 0.154, 0.092)),
    "pscc-net": ((0.806, 0.164, 0.253, 0.284, 0.052), (0.166, 0.161, 0.170, 0.155)),
    "trufor": ((0.881, 0.194, 0.295, 0.319, 0.048), (0.195, 0.194, 0.199, 0.187)),
    "sparsevit": ((0.735, 0.203, 0.277, None, 0.049), (0.214, 0.186, 0.205, 0.202)),
    "lgrad": ((0.974, 0.088, 0.165, 0.635, None), (0.101, 0.057, 0.093, 0.085)),
    "dire": ((0.821, 0.254, 0.401, 0.481, None), (0.291, 0.203, 0.268, 0.400)),
    "freqnet": ((0.767, 0.231, 0.360, 0.472, None), (0.244, 0.228, 0.240, 0.229)),
    "npr": ((0.894, 0.300, 0.443, 0.501, None), (0.323, 0.290, 0.318, 0.289)),
    "fatformer": ((0.989, 0.331, 0.493, 0.606, None), (0.358, 0.321, 0.349, 0.310)),
}
"""Table 2, released weights straight on BR-Gen: real, fake, F1, AUC, IoU; recall of fake by part."""

TRAINED: Mapping[str, tuple[Row, Row]] = {
    "mantra-net": ((0.804, 0.596, 0.665, None, 0.618), (0.630, 0.559, 0.603, 0.585)),
    "mvss-net": ((0.903, 0.883, 0.892, 0.924, 0.671), (0.913, 0.846, 0.889, 0.856)),
    "pscc-net": ((0.935, 0.861, 0.894, 0.937, 0.705), (0.898, 0.840, 0.867, 0.844)),
    "trufor": ((0.944, 0.896, 0.918, 0.942, 0.779), (0.915, 0.865, 0.903, 0.871)),
    "sparsevit": ((0.984, 0.911, 0.946, None, 0.824), (0.958, 0.872, 0.931, 0.907)),
    "lgrad": ((0.937, 0.755, 0.831, 0.872, None), (0.801, 0.732, 0.775, 0.738)),
    "dire": ((0.939, 0.742, 0.823, 0.825, None), (0.750, 0.744, 0.762, 0.739)),
    "freqnet": ((0.825, 0.631, 0.699, 0.702, None), (0.659, 0.614, 0.648, 0.622)),
    "npr": ((0.946, 0.902, 0.922, 0.933, None), (0.938, 0.884, 0.921, 0.893)),
    "fatformer": ((0.990, 0.935, 0.961, 0.971, None), (0.955, 0.913, 0.949, 0.915)),
    "nfa-vit": ((0.992, 0.953, 0.972, 0.979, 0.907), (0.972, 0.941, 0.961, 0.948)),
}
"""Table 3, trained on BR-Gen."""

_MISPRINTED = {("dire", 2, "stuff"): "as printed; its own mean fits 0.240"}

_FIVE = ("trufor", "sparsevit", "npr", "fatformer", "nfa-vit")

ACROSS: Mapping[tuple[str, str], tuple[tuple[float, float], ...]] = {
    ("GAN", "diffusion"): ((0.206, 0.964), (0.373, 0.970), (0.225, 0.962), (0.412, 0.967), (0.466, 0.980)),
    ("diffusion", "GAN"): ((0.405, 0.962), (0.605, 0.959), (0.468, 0.968), (0.725, 0.956), (0.820, 0.973)),
    ("background", "stuff"): ((0.709, 0.904), (0.842, 0.967), (0.743, 0.932), (0.795, 0.971), (0.841, 0.982)),
    ("stuff", "background"): ((0.673, 0.932), (0.883, 0.959), (0.755, 0.920), (0.847, 0.955), (0.908, 0.970)),
}
"""Table 4, trained on one part and tested on another: recall of fake and of real, of five methods."""

ELSEWHERE: Mapping[str, tuple[tuple[float | None, float | None, float | None], ...]] = {
    "CoCoGlide": ((0.762, 0.952, 0.781), (0.876, 0.989, 0.833), (0.833, 0.957, None), (0.859, 0.992, None),
                  (0.884, 0.990, 0.856)),
    "GRE": ((0.787, None, 0.677), (0.852, None, 0.720), (0.810, None, None), (0.843, None, None),
            (0.865, None, 0.774)),
    "ForenSynths, StyleGAN": ((0.916, 0.946, None), (0.945, 0.991, None), (0.942, 0.945, None), (0.967, 0.990, None),
                              (0.972, 0.991, None)),
    "Glide 100-27": ((0.911, 0.955, None), (0.947, 0.992, None), (0.932, 0.952, None), (0.955, 0.991, None),
                     (0.962, 0.995, None)),
}  # fmt: skip
"""Table 5, other sets: recall of fake and of real, IoU, of the same five."""


def br_gen(name: str) -> tuple[Target, ...]:
    """All that BR-Gen printed for a detector, in the order of its tables.

    >>> [(one.data, one.metric, one.value) for one in br_gen("npr")[:2]]  # doctest: +NORMALIZE_WHITESPACE
    [('BR-Gen, released weights', 'recall of real at 0.5', 0.894),
     ('BR-Gen, released weights', 'recall of fake at 0.5', 0.3)]
    """
    found: tuple[Target, ...] = ()
    for table, rows, data in ((2, RELEASED, "BR-Gen, released weights"), (3, TRAINED, "BR-Gen, trained on it")):
        if name in rows:
            whole, parts = rows[name]
            found += _targets(data, _WHOLE, whole, table)
            for part, value in zip(_PARTS, parts, strict=True):
                found += _targets(
                    f"{data}, {part}", (_FAKE,), (value,), table, _MISPRINTED.get((name, table, part), "")
                )
    if name in _FIVE:
        at = _FIVE.index(name)
        for (learnt, asked), pairs in ACROSS.items():
            found += _targets(f"BR-Gen {asked}, trained on its {learnt}", (_FAKE, _REAL), pairs[at], 4)
        for data, triples in ELSEWHERE.items():
            found += _targets(data, (_FAKE, _REAL, "IoU"), triples[at], 5)
    return found


def _targets(
    data: str, metrics: Sequence[str], values: Sequence[float | None], table: int, remark: str = ""
) -> tuple[Target, ...]:
    told = dict(zip(metrics, values, strict=True))
    return tuple(
        Target(data=data, metric=metric, value=value, source=f"BR-Gen, Table {table}",
               remark=remark or _remark(metric, told))
        for metric, value in told.items()
        if value is not None
    )  # fmt: skip


def _remark(metric: str, told: Mapping[str, float | None]) -> str:
    value, real, fake = told[metric], told.get(_REAL), told.get(_FAKE)
    if metric == "AUC" and value is not None and value < 0.5:
        return "below 0.5: as printed, fakes rank below reals"
    if metric == "F1" and value is not None and real is not None and fake is not None:
        # With as many reals as fakes, both recalls fix the F1; most of the Table 2's do not follow.
        implied = 2 * fake / (2 * fake + (1 - real) + (1 - fake))
        if abs(implied - value) > 0.0015:
            return f"its recalls would give {implied:.3f}"
    return ""
