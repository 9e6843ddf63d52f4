"""Degradations: seeded, recorded, replayable, and exactly what their recipes say."""

from __future__ import annotations

import functools
import json
import math

import numpy as np
import pytest

from drawn import drawn_mask, drawn_picture, smooth_picture
from fauxlens.core.errors import BadSetting, BadShape, UnknownName
from fauxlens.core.names import look_up
from fauxlens.images.degrade import CHAINS, STEPS, Chain, OneOf, Step, parse_chain, read_chain, recipe
from fauxlens.images.degrade.codec import Jpeg, Webp
from fauxlens.images.degrade.geometry import Crop, Flip, Pad, Resize, Rotate, pad_to
from fauxlens.images.degrade.screen import Screenshot
from fauxlens.images.degrade.step import draw_number, draw_whole
from fauxlens.images.degrade.tone import Blur, Brightness, Contrast, Gamma, Noise, Sharpen, gaussian_kernel
from fauxlens.images.encode import decode_own
from fauxlens.images.resample import resize
from golden.rewrite_images import PATH, STEP_TEXTS, results, summary, versions

SAMPLE_TEXTS = (*STEP_TEXTS, "jpeg:probability=0.5 | flip:probability=0.5 | webp:probability=0.5", "none")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@functools.cache
def chains() -> dict[str, Chain]:
    return {text: parse_chain(text) for text in SAMPLE_TEXTS} | {name: r.chain for name, r in CHAINS.items()}


# --- golden results -------------------------------------------------------------------------------------------------


def test_results_are_the_recorded_ones() -> None:
    golden = json.loads(PATH.read_text(encoding="utf-8"))
    now = {name: summary(*result) for name, result in results().items()}
    assert sorted(now) == sorted(golden["cases"]), "run `python tests/golden/rewrite_images.py` and review"
    same_libraries = golden["versions"] == versions()
    for name, case in now.items():
        kept = golden["cases"][name]
        assert case["shape"] == kept["shape"], name
        if same_libraries or not case["library"]:
            assert case["sha256"] == kept["sha256"], name
        # Another libjpeg-turbo, libwebp or OpenCV may round otherwise; the picture as a whole may not change.
        assert np.abs(np.subtract(case["thumbnail"], kept["thumbnail"])).max() <= 2, name


# --- chance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", chains())
def test_a_chain_depends_on_pixels_chain_and_seed_alone(name: str) -> None:
    chain, picture = chains()[name], drawn_picture()
    before = picture.copy()
    first = chain.apply(picture, 5)
    np.random.seed(99)
    chain.apply(picture, 6)
    again = parse_chain(str(chain)).apply(picture, 5)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.records == again.records
    assert np.array_equal(picture, before)
    assert first.pixels.dtype == np.uint8
    assert first.pixels.ndim == 3
    assert len(first.records) == len(chain.steps)


@pytest.mark.parametrize("name", chains())
def test_the_file_shows_the_pixels_and_the_records_replay(name: str) -> None:
    chain, picture = chains()[name], drawn_picture()
    outputs = set()
    for seed in (1, 2, 3):
        degraded = chain.apply(picture, seed)
        data, suffix, records = chain.encode(picture, seed)
        assert np.array_equal(decode_own(data), degraded.pixels)
        assert records == degraded.records
        kept = json.loads(json.dumps(records))
        assert np.array_equal(chain.replay(picture, kept), degraded.pixels)
        kind = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}[data[:2]]
        assert kind == suffix
        if kind == ".webp":
            kind = "webp-lossless" if data[12:16] == b"VP8L" else "webp"
        outputs.add({".jpg": "jpeg", ".png": "png"}.get(kind, kind))
    assert chain.output == "varies" or {chain.output} == outputs


def test_the_global_generator_is_not_touched() -> None:
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    recipe("processed/medium").chain.apply(drawn_picture(), 3)
    assert np.array_equal(np.random.get_state()[1], state)


def test_other_seeds_give_other_draws() -> None:
    chain = parse_chain("noise:deviation=3")
    assert not np.array_equal(chain.apply(drawn_picture(), 1).pixels, chain.apply(drawn_picture(), 2).pixels)


def test_a_step_s_draw_does_not_depend_on_the_steps_before_it() -> None:
    picture = drawn_picture()
    plain = parse_chain("flip | jpeg:quality=1-100").apply(picture, 8).records[1]
    other = parse_chain("crop:share=0.5-0.9,place=random | jpeg:quality=1-100").apply(picture, 8).records[1]
    seldom = parse_chain("flip | jpeg:quality=1-100,probability=0.999").apply(picture, 8).records[1]
    assert plain == other == seldom


def test_equal_steps_in_a_row_draw_for_themselves() -> None:
    first, second = parse_chain("noise:deviation=1 | noise:deviation=1").apply(drawn_picture(), 8).records
    assert first["seed"] != second["seed"]


def test_whole_ranges_are_closed_and_even() -> None:
    drawn = [draw_whole((60, 64), generator) for generator in [rng()] for _ in range(5000)]
    counts = np.bincount(np.array(drawn) - 60)
    assert len(counts) == 5
    assert np.abs(counts - 1000).max() < 120  # four standard deviations
    assert draw_whole(7, rng()) == 7


def test_number_ranges_are_closed() -> None:
    class Ends:
        def __init__(self, end: int) -> None:
            self.end = end

        def integers(self, low: int, high: int, *, endpoint: bool) -> int:
            assert endpoint
            return (low, high)[self.end]

    assert draw_number((0.1, 0.7), Ends(0)) == 0.1  # type: ignore[arg-type]
    assert draw_number((0.1, 0.7), Ends(1)) == 0.7  # type: ignore[arg-type]
    drawn = np.array([draw_number((-2.0, 3.0), generator) for generator in [rng()] for _ in range(4000)])
    assert drawn.min() >= -2
    assert drawn.max() <= 3
    assert np.abs(np.histogram(drawn, 5, (-2, 3))[0] - 800).max() < 110
    assert draw_number(0.3, rng()) == 0.3


def test_probability_is_kept_and_recorded() -> None:
    picture, step = drawn_picture(2, 2), Flip(probability=0.3)
    applied = [step.apply(picture, rng(seed))[1]["applied"] for seed in range(2000)]
    assert abs(np.mean(applied) - 0.3) < 0.041
    assert step.always().probability == 1
    skipped, record = Flip(probability=0).apply(picture, rng())
    assert record == {"step": "flip", "applied": False}
    assert np.array_equal(skipped, picture)


def test_weights_are_kept() -> None:
    chain = parse_chain("one_of:weights=3:0:1(flip / jpeg / pad:side=9)")
    chosen = np.bincount([chain.apply(drawn_picture(2, 2), seed).records[0]["chosen"] for seed in range(2000)])
    assert chosen[1] == 0
    assert abs(chosen[0] / 2000 - 0.75) < 0.04


# --- records and masks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", chains())
def test_masks_follow_their_pictures(name: str) -> None:
    chain, picture, mask = chains()[name], drawn_picture(), drawn_mask()
    degraded = chain.apply(picture, 4)
    moved = chain.replay_mask(mask, degraded.records)
    assert moved.shape == degraded.pixels.shape[:2]
    assert set(np.unique(moved)) <= {0, 255}


@pytest.mark.parametrize(
    "text",
    [
        "flip:direction=both",
        "rotate:quarter_turns=1",
        "crop:side=20,place=random",
        "crop:side=70",
        "pad:side=80",
        "resize:scale=2,kind=nearest",
    ],
)
def test_exact_moves_treat_mask_and_picture_alike(text: str) -> None:
    mask = drawn_mask()
    chain = parse_chain(text)
    degraded = chain.apply(np.repeat(mask[:, :, None], 3, axis=2), 2)
    assert np.array_equal(degraded.pixels[..., 1], chain.replay_mask(mask, degraded.records))


def test_the_bars_of_a_screenshot_are_not_forged() -> None:
    chain = parse_chain("screenshot:scale=1,bar_top=4,bar_bottom=6,bar_level=200")
    degraded = chain.apply(drawn_picture(), 0)
    mask = chain.replay_mask(np.full((40, 56), 255, np.uint8), degraded.records)
    assert degraded.pixels.shape == (50, 56, 3)
    assert (degraded.pixels[:4] == 200).all()
    assert (degraded.pixels[-6:] == 200).all()
    assert np.array_equal(degraded.pixels[4:-6], drawn_picture())
    assert (mask[:4] == 0).all()
    assert (mask[4:-6] == 255).all()
    assert (mask[-6:] == 0).all()


def test_records_of_another_chain_are_refused() -> None:
    records = parse_chain("flip").apply(drawn_picture(), 1).records
    with pytest.raises(BadSetting, match=r"belong to another chain \(wanted 2 records, got 1\)"):
        parse_chain("flip | jpeg").replay(drawn_picture(), records)
    with pytest.raises(BadSetting, match="belongs to another step"):
        parse_chain("jpeg").replay(drawn_picture(), records)


# --- the file that is written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("none", "png"),
        ("jpeg", "jpeg"),
        ("jpeg | flip", "png"),
        ("jpeg -> png", "png"),
        ("webp -> webp-lossless", "webp-lossless"),
        ("webp", "webp"),
        ("webp:lossless=true", "webp-lossless"),
        ("jpeg:swapped=true", "png"),
        ("jpeg:probability=0.5", "varies"),
        ("jpeg | flip:probability=0.5", "varies"),
        ("jpeg | flip:probability=0", "jpeg"),
        ("one_of(jpeg / webp)", "varies"),
        ("one_of(jpeg / blur:sigma=1 | jpeg:quality=50)", "jpeg"),
        ("one_of:weights=0:1(jpeg / webp)", "webp"),
        ("jpeg | one_of(none / jpeg)", "jpeg"),
    ],
)
def test_output_says_what_is_written(text: str, output: str) -> None:
    assert parse_chain(text).output == output


def test_the_last_codec_s_own_bytes_are_written() -> None:
    from fauxlens.images.encode import encode_jpeg

    picture = drawn_picture()
    assert parse_chain("jpeg:quality=66").encode(picture, 0)[0] == encode_jpeg(picture, 66)
    # What comes after it does not happen, so the JPEG is still the file.
    for text in ("jpeg:quality=66 | blur:sigma=1,probability=0", "jpeg:quality=66 | one_of(none)"):
        assert parse_chain(text).encode(picture, 0)[0] == encode_jpeg(picture, 66)


# --- each step against an independent computation -------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0, 5.0])
def test_blur_is_the_direct_convolution(sigma: float) -> None:
    picture = drawn_picture(24, 33)
    radius = math.ceil(3 * sigma)
    weights = [math.exp(-(k * k) / (2 * sigma * sigma)) for k in range(-radius, radius + 1)]
    flat = np.outer(weights, weights) / sum(weights) ** 2
    padded = np.pad(picture.astype(np.float64), [(radius, radius), (radius, radius), (0, 0)], mode="reflect")
    expected = sum(
        flat[i, j] * padded[i : i + 24, j : j + 33] for i in range(2 * radius + 1) for j in range(2 * radius + 1)
    )
    blurred = Blur(sigma=sigma).apply(picture, rng())[0]
    assert np.abs(blurred - expected).max() <= 0.5 + 1e-9
    assert len(gaussian_kernel(sigma)) == 2 * radius + 1


def test_blur_works_on_pictures_smaller_than_its_kernel() -> None:
    picture = drawn_picture(2, 3)
    assert Blur(sigma=5.0).apply(picture, rng())[0].shape == picture.shape
    assert np.array_equal(Blur(sigma=4.0).apply(drawn_picture(1, 1), rng())[0], drawn_picture(1, 1))


def test_blur_by_kernel_is_opencv_s_and_draws_odd_sides() -> None:
    picture = drawn_picture()
    # OpenCV's fixed kernel for a side of 5 is 1 4 6 4 1.
    weights = np.array([1, 4, 6, 4, 1]) / 16
    padded = np.pad(picture.astype(np.float64), [(2, 2), (2, 2), (0, 0)], mode="reflect")
    expected = sum(weights[i] * weights[j] * padded[i : i + 40, j : j + 56] for i in range(5) for j in range(5))
    assert np.abs(Blur(kernel=5).apply(picture, rng())[0] - expected).max() <= 1
    drawn = {Blur(kernel=(3, 7)).apply(drawn_picture(4, 4), rng(seed))[1]["kernel"] for seed in range(60)}
    assert drawn == {3, 5, 7}


def test_noise_has_the_deviation_it_says() -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    for step, deviation in ((Noise(deviation=6.0), 6.0), (Noise(variance=9.0), 3.0)):
        noise = step.apply(grey, rng(3))[0].astype(float) - 128
        # Rounding to whole values adds a variance of 1/12.
        assert abs(noise.std() - math.sqrt(deviation**2 + 1 / 12)) < 0.1
        assert abs(noise.mean()) < 0.1
        assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.03
    assert np.array_equal(Noise(deviation=0.0).apply(grey, rng())[0], grey)


def test_noise_is_clipped_not_wrapped() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    assert Noise(deviation=10.0).apply(white, rng())[0].min() > 180


def test_tones() -> None:
    picture = drawn_picture().astype(np.float64)
    for step, expected in (
        (Brightness(factor=1.3), picture * 1.3),
        (Contrast(factor=0.6), 127.5 + 0.6 * (picture - 127.5)),
        (Contrast(factor=2.5), 127.5 + 2.5 * (picture - 127.5)),
        (Gamma(exponent=2.2), 255 * (picture / 255) ** 2.2),
    ):
        toned = step.apply(drawn_picture(), rng())[0]
        assert np.abs(toned - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-9


def test_sharpen_is_an_unsharp_mask() -> None:
    picture = smooth_picture().copy()
    picture[:, 28:] //= 2
    sharpened = Sharpen(amount=1.0, sigma=1.0).apply(picture, rng())[0].astype(int)
    blurred = Blur(sigma=1.0).apply(picture, rng())[0].astype(int)
    assert np.abs(sharpened - np.clip(2 * picture.astype(int) - blurred, 0, 255)).max() <= 1
    edge = slice(26, 30)
    assert np.ptp(sharpened[20, edge, 0]) > np.ptp(picture[20, edge, 0].astype(int))


def test_nothing_steps_change_nothing() -> None:
    picture = drawn_picture()
    for text in (
        "none",
        "brightness",
        "contrast",
        "gamma",
        "sharpen:amount=0",
        "noise:deviation=0",
        "rotate:degrees=0",
        "rotate:quarter_turns=4",
        "resize:scale=1",
        "resize:longest=2000,enlarge=false",
        "resize:shortest=2000,enlarge=false",
        "resize:scale=3,enlarge=false",
        "down_up:scale=1",
        "down_up:longest=56",
        "crop:share=1",
        "pad:side=3",
        "webp:lossless=true",
        "screenshot:scale=1",
        "flip | flip",
        "blur:kernel=1",
        "one_of(none)",
    ):
        assert np.array_equal(parse_chain(text).apply(picture, 1).pixels, picture), text


def test_rotation_by_quarters_is_exact_and_counter_clockwise() -> None:
    picture = drawn_picture()
    for turns in (-1, 1, 2, 3):
        expected = np.rot90(picture, turns)
        assert np.array_equal(Rotate(quarter_turns=turns).apply(picture, rng())[0], expected)
        assert np.array_equal(Rotate(degrees=90.0 * turns).apply(picture, rng())[0], expected)
    drawn = [Rotate(quarter_turns=(0, 3)).apply(drawn_picture(1, 1), rng(seed))[1]["degrees"] for seed in range(60)]
    assert set(drawn) == {0, 90, 180, 270}


def test_rotation_by_little_keeps_size_direction_and_brightness() -> None:
    picture = smooth_picture(60, 80)
    turned = Rotate(degrees=5.0).apply(picture, rng())[0]
    assert turned.shape == picture.shape
    assert abs(turned.mean() - picture.mean()) < 3  # reflected corners, not black ones
    marked = np.zeros((61, 61, 3), np.uint8)
    marked[29:32, 50:53] = 255  # right of the centre goes up when turned counter-clockwise
    rows, columns = np.nonzero(Rotate(degrees=30.0).apply(marked, rng())[0][..., 0] > 100)
    assert abs(rows.mean() - (30 - 21 * math.sin(math.radians(30)))) < 0.7
    assert abs(columns.mean() - (30 + 21 * math.cos(math.radians(30)))) < 0.7


def test_flip() -> None:
    picture = drawn_picture()
    assert np.array_equal(Flip().apply(picture, rng())[0], picture[:, ::-1])
    assert np.array_equal(Flip(direction="vertical").apply(picture, rng())[0], picture[::-1])
    assert np.array_equal(Flip(direction="both").apply(picture, rng())[0], picture[::-1, ::-1])
    drawn = {Flip(direction="random").apply(picture, rng(seed))[1]["direction"] for seed in range(40)}
    assert drawn == {"horizontal", "vertical", "both"}


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (40, 56), (7, 100)])
def test_padding_is_opencv_s_reflect_101(size: tuple[int, int]) -> None:
    import cv2

    picture = drawn_picture(*size)
    tall, wide = max(65 - size[0], 0), max(65 - size[1], 0)
    expected = cv2.copyMakeBorder(
        picture, tall // 2, tall - tall // 2, wide // 2, wide - wide // 2, cv2.BORDER_REFLECT_101
    )
    assert np.array_equal(pad_to(picture, 65, 65), expected)
    assert np.array_equal(Pad(side=65).apply(picture, rng())[0], expected)


def test_pad_modes() -> None:
    picture = drawn_picture(3, 3)
    black = Pad(height=5, width=3, mode="black").apply(picture, rng())[0]
    assert (black[[0, -1]] == 0).all()
    edge = Pad(height=3, width=6, mode="edge").apply(picture, rng())[0]
    assert np.array_equal(edge[:, 0], picture[:, 0])
    assert np.array_equal(edge[:, 4:], picture[:, [2, 2]])


def test_crop_places() -> None:
    picture = drawn_picture()
    assert np.array_equal(Crop(side=21).apply(picture, rng())[0], picture[9:30, 17:38])
    assert np.array_equal(Crop(height=10, width=56).apply(picture, rng())[0], picture[15:25])
    assert Crop(share=0.5).apply(picture, rng())[0].shape == (20, 28, 3)
    places = set()
    for seed in range(400):
        cut, record = Crop(height=38, width=54, place="random").apply(picture, rng(seed))
        top, left = record["top"], record["left"]
        assert np.array_equal(cut, picture[top : top + 38, left : left + 54])
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(3)}


def test_crop_of_a_small_picture_is_padded_or_refused() -> None:
    picture = drawn_picture(10, 30)
    padded = Crop(side=20).apply(picture, rng())[0]
    assert np.array_equal(padded, pad_to(picture, 20, 30)[:, 5:25])
    with pytest.raises(BadSetting, match=r"smaller than the crop \(wanted at least 20 x 20, got 10 x 30\)"):
        Crop(side=20, pad="refuse").apply(picture, rng())


def test_resize_ways() -> None:
    picture = drawn_picture(40, 56)
    shapes = {
        "side=20": (20, 20),
        "height=10,width=90": (10, 90),
        "longest=28": (20, 28),
        "shortest=20": (20, 28),
        "scale=0.5": (20, 28),
        "scale=1.5": (60, 84),
    }
    for text, shape in shapes.items():
        for kind in ("bicubic", "nearest"):
            degraded = parse_chain(f"resize:{text},kind={kind}").apply(picture, 1)
            assert np.array_equal(degraded.pixels, resize(picture, shape, kind))
    small = parse_chain("down_up:longest=14,kind=box").apply(picture, 1).pixels
    assert np.array_equal(small, resize(resize(picture, (10, 14), "box"), (40, 56), "box"))


def test_screenshot() -> None:
    shown, record = Screenshot(width=(90, 110), gamma=1.1, bar_top=(1, 9)).apply(drawn_picture(), rng(1))
    height, width, top = record["height"], record["width"], record["bar_top"]
    assert 90 <= width <= 110
    assert abs(height - width * 40 / 56) <= 0.5
    assert 1 <= top <= 9
    plain = resize(drawn_picture(), (height, width), "bilinear")
    assert np.array_equal(shown[top:], Gamma(exponent=1.1).apply(plain, rng())[0])


def test_codec_steps_are_the_encoder_s() -> None:
    from fauxlens.images.encode import jpeg_roundtrip, webp_roundtrip

    picture = drawn_picture()
    for swapped in (False, True):
        expected = jpeg_roundtrip(picture, 55, "4:4:4", swapped=swapped)
        assert np.array_equal(Jpeg(quality=55, subsampling="4:4:4", swapped=swapped).apply(picture, rng())[0], expected)
        expected = webp_roundtrip(picture, 55, swapped=swapped)
        assert np.array_equal(Webp(quality=55, swapped=swapped).apply(picture, rng())[0], expected)


# --- named recipes --------------------------------------------------------------------------------------------------


def imaginet_draws(name: str, height: int, width: int, count: int) -> list[tuple[dict, dict]]:
    """The records of the crop and of the codec, without rendering what does not decide them."""
    crop, to_256, codec = recipe(name).chain.steps
    assert str(to_256) == "resize:side=256,kind=opencv-lanczos4"
    tiny = np.zeros((1, 1, 3), np.uint8)
    drawn = []
    for seed in range(count):
        record = crop.draw(height, width, np.random.default_rng([seed, 0]))
        drawn.append((record, codec.apply(tiny, np.random.default_rng([seed, 2]))[1]))
    return drawn


@pytest.mark.parametrize("name", ["imaginet-perturbed/faithful", "imaginet-perturbed/clean"])
def test_imaginet_statistics(name: str) -> None:
    count = 4000
    drawn = imaginet_draws(name, 300, 400, count)
    sides = np.array([crop["height"] for crop, _ in drawn])
    assert sides.min() == 256
    assert sides.max() == 300
    # 45 sides, equally likely: chi-square with 44 degrees of freedom is below 80 but once in a thousand.
    counts = np.bincount(sides - 256, minlength=45)
    assert ((counts - count / 45) ** 2 / (count / 45)).sum() < 80
    assert all(0 <= crop["top"] <= 300 - crop["height"] for crop, _ in drawn)
    assert all(0 <= crop["left"] <= 400 - crop["width"] for crop, _ in drawn)
    codecs = [codec["records"][0] for _, codec in drawn if codec["applied"]]
    assert abs(len(codecs) / count - 0.75) < 0.02
    assert abs(np.mean([codec["step"] == "webp" for codec in codecs]) - 0.5) < 0.03
    qualities = np.array([codec["quality"] for codec in codecs])
    assert qualities.min() == 60
    assert qualities.max() == 100
    assert abs(qualities.mean() - 80) < 1
    assert {codec["swapped"] for codec in codecs} == {name.endswith("faithful")}


@pytest.mark.parametrize(
    ("height", "width", "low", "high"), [(100, 900, 256, 256), (256, 256, 256, 256), (3000, 260, 256, 260)]
)
def test_imaginet_sides_follow_the_picture(height: int, width: int, low: int, high: int) -> None:
    sides = {crop["height"] for crop, _ in imaginet_draws("imaginet-perturbed/clean", height, width, 100)}
    assert (min(sides), max(sides)) == (low, high)


def test_imaginet_sides_end_at_a_thousand() -> None:
    crop = recipe("imaginet-perturbed/clean").chain.steps[0]
    sides = [crop.draw(5000, 4000, rng(seed))["height"] for seed in range(5000)]
    assert max(sides) == 1000
    assert min(sides) == 256


@pytest.mark.parametrize("size", [(90, 70), (256, 256), (300, 280)])
def test_imaginet_writes_lossless_webp_of_256(size: tuple[int, int]) -> None:
    for name in ("imaginet-perturbed/faithful", "imaginet-perturbed/clean"):
        data, suffix, _ = recipe(name).chain.encode(smooth_picture(*size), 3)
        assert suffix == ".webp"
        assert data[12:16] == b"VP8L"
        assert decode_own(data).shape == (256, 256, 3)


def test_imaginet_faithful_and_clean_differ_in_the_codec_alone() -> None:
    picture = drawn_picture(300, 300)
    faithful, clean = (recipe(f"imaginet-perturbed/{name}").chain for name in ("faithful", "clean"))
    changed = 0
    for seed in range(6):
        one, other = faithful.apply(picture, seed), clean.apply(picture, seed)
        assert one.records[:2] == other.records[:2]
        assert one.records[2]["applied"] == other.records[2]["applied"]
        if one.records[2]["applied"]:
            changed += 1
            assert not np.array_equal(one.pixels, other.pixels)
        else:
            assert np.array_equal(one.pixels, other.pixels)
    assert changed > 0


def test_imaginet_identification_sweeps() -> None:
    names = [name for name in CHAINS if name.startswith("imaginet-identification/")]
    sides = [recipe(f"imaginet-identification/resize-12-{i}").chain.steps[0] for i in range(2, 13)]
    assert [step.side for step in sides] == [1536, 1024, 768, 614, 512, 438, 384, 341, 307, 279, 256]
    qualities = [recipe(f"imaginet-identification/jpeg-{q}").chain.steps[0] for q in range(40, 101, 5)]
    assert all(step.probability == 0.5 for step in qualities)
    assert [step.quality for step in qualities] == list(range(40, 101, 5))
    assert all(recipe(f"imaginet-identification/jpeg-{q}-all").chain.steps[0].probability == 1 for q in (40, 100))
    assert len(names) == 11 + 13 + 13


def test_genimage_conditions_are_the_definition() -> None:
    from fauxlens.images.encode import encode_jpeg

    picture = drawn_picture(150, 130)
    assert recipe("genimage-degraded/1:lr-112").chain.apply(picture, 0).pixels.shape == (112, 112, 3)
    lowest = recipe("genimage-degraded/1:lr-64").chain.apply(picture, 0).pixels
    assert np.array_equal(lowest, resize(picture, (64, 64), "bicubic"))
    for quality in (65, 30):
        data, suffix, _ = recipe(f"genimage-degraded/1:jpeg-{quality}").chain.encode(picture, 0)
        assert (data, suffix) == (encode_jpeg(picture, quality, "4:2:0"), ".jpg")
    for sigma in (3, 5):
        blurred = recipe(f"genimage-degraded/1:blur-{sigma}").chain.apply(picture, 0)
        assert np.array_equal(blurred.pixels, Blur(sigma=float(sigma)).apply(picture, rng())[0])
        assert blurred.records[0]["sigma"] == sigma


def test_approximations_say_that_they_are() -> None:
    for name, one in CHAINS.items():
        ours = name.split("/")[0] in ("social", "screenshot", "processed")
        assert ours == (one.origin == "approximation"), name
        assert ours == ("our approximation" in one.about), name
        assert one.origin in ("published", "definition", "sweep", "approximation")
    social = [one.chain.output for name, one in CHAINS.items() if name.startswith("social/")]
    assert sorted(social) == ["jpeg"] * 5 + ["varies"]


def test_names_lead_to_chains() -> None:
    assert read_chain(" social/x-like ") == recipe("social/x-like").chain
    assert read_chain("jpeg:quality=5") == Chain((Jpeg(quality=5),))
    assert read_chain("one_of(jpeg / webp)") == parse_chain("one_of(jpeg / webp)")
    with pytest.raises(UnknownName, match="Did you mean 'imaginet-perturbed/clean'"):
        read_chain("imaginet-perturbed/clear")
    with pytest.raises(UnknownName, match="degradation recipe"):
        recipe("none of them")


# --- saying no ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
def test_the_table_of_steps_agrees_with_the_classes(name: str) -> None:
    kind = look_up(STEPS, name, "step")
    assert issubclass(kind, Step)
    assert kind.name == name


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        (Jpeg, {"quality": 0}, "quality"),
        (Jpeg, {"quality": 101}, "quality"),
        (Jpeg, {"quality": 50.0}, "quality"),
        (Jpeg, {"quality": True}, "quality"),
        (Jpeg, {"quality": (80, 60)}, "quality"),
        (Jpeg, {"quality": (60, 80, 90)}, "quality"),
        (Jpeg, {"quality": [60, 80]}, "quality"),
        (Jpeg, {"subsampling": "4:2:1"}, "subsampling"),
        (Jpeg, {"probability": 1.5}, "probability"),
        (Jpeg, {"probability": (0.1, 0.2)}, "probability"),
        (Jpeg, {"probability": float("nan")}, "probability"),
        (Webp, {"quality": 0}, "quality"),
        (Webp, {"lossless": True, "swapped": True}, "lossless"),
        (Resize, {}, "exactly one of side, height and width, longest"),
        (Resize, {"side": 3, "scale": 1.0}, "side and scale"),
        (Resize, {"height": 3}, "height and width go together"),
        (Resize, {"side": 0}, "side"),
        (Resize, {"longest": 10**6}, "longest"),
        (Resize, {"scale": 0.0}, "scale"),
        (Resize, {"side": 3, "kind": "bicubik"}, "kind.*Did you mean 'bicubic'"),
        (Crop, {"side": 5, "place": "center"}, "place.*Did you mean 'centre'"),
        (Crop, {"share": 1.1}, "share"),
        (Crop, {"side": 5, "pad": "black"}, "pad"),
        (Crop, {"side": 5, "limit_to_picture": True}, "limit_to_picture"),
        (Crop, {"width": 5}, "go together"),
        (Pad, {}, "exactly one of"),
        (Pad, {"side": -1}, "side"),
        (Pad, {"width": 5}, "go together"),
        (Pad, {"side": 1, "mode": "mirror"}, "mode"),
        (Rotate, {}, "exactly one of"),
        (Rotate, {"degrees": 361.0}, "degrees"),
        (Rotate, {"quarter_turns": 5}, "quarter_turns"),
        (Flip, {"direction": "diagonal"}, "direction"),
        (Blur, {}, "exactly one of sigma, kernel"),
        (Blur, {"sigma": 0.0}, "sigma"),
        (Blur, {"sigma": float("inf")}, "sigma"),
        (Blur, {"kernel": 4}, "kernel must be odd"),
        (Blur, {"kernel": (3, 6)}, "kernel must be odd"),
        (Noise, {}, "exactly one of"),
        (Noise, {"deviation": -1.0}, "deviation"),
        (Noise, {"variance": -1.0}, "variance"),
        (Brightness, {"factor": -0.1}, "factor"),
        (Contrast, {"factor": 11.0}, "factor"),
        (Gamma, {"exponent": 0.0}, "exponent"),
        (Sharpen, {"amount": -1.0}, "amount"),
        (Sharpen, {"sigma": 0.0}, "sigma"),
        (Screenshot, {}, "exactly one of width, scale"),
        (Screenshot, {"scale": 1.0, "gamma": 0.0}, "gamma"),
        (Screenshot, {"width": 5, "bar_top": -1}, "bar_top"),
        (Screenshot, {"width": 5, "bar_level": 256}, "bar_level"),
        (OneOf, {}, "one_of chooses between chains"),
        (OneOf, {"chains": (Chain(),), "weights": (1.0, 2.0)}, "weights are one a chain"),
        (OneOf, {"chains": (Chain(),), "weights": (0.0,)}, "weights are all zero"),
        (OneOf, {"chains": (Chain(),), "weights": (-1.0,)}, "weights"),
        (OneOf, {"chains": (Chain(container="png"),)}, "container"),
        (Chain, {"steps": ("jpeg",)}, "a chain is made of steps"),
        (Chain, {"container": "gif"}, "container"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(kind: type, settings: dict, field: str) -> None:
    with pytest.raises(BadSetting, match=field):
        kind(**settings)


def test_other_arrays_and_seeds_are_refused() -> None:
    chain = parse_chain("flip")
    for call in (chain.apply, chain.encode):
        with pytest.raises(BadShape, match=r"wanted \(H, W, 3\) uint8"):
            call(drawn_mask(), 1)
        with pytest.raises(BadSetting, match="a seed is not negative"):
            call(drawn_picture(), -1)
        with pytest.raises(BadSetting, match="a seed is a whole number"):
            call(drawn_picture(), 1.5)  # type: ignore[arg-type]
    with pytest.raises(BadShape, match="flip: not an RGB picture"):
        Flip().apply(drawn_mask(), rng())
    with pytest.raises(BadShape, match="not a mask"):
        chain.replay_mask(drawn_picture(), ())


def test_the_none_chain_checks_its_seed_too() -> None:
    with pytest.raises(BadSetting, match="seed"):
        Chain().apply(drawn_picture(), -1)


def test_results_that_would_be_too_large_are_refused() -> None:
    long = np.zeros((1, 3000, 3), np.uint8)
    with pytest.raises(BadSetting, match="resize: the picture would become too large"):
        Resize(scale=60.0).apply(long, rng())
    with pytest.raises(BadSetting, match="screenshot: the screenshot would become too large"):
        Screenshot(width=60000).apply(long.transpose(1, 0, 2), rng())
