"""Regions by two models: GroundingDINO says where a named thing or stuff is, SAM 2.1 cuts it out (BR-Gen's way).

Things and stuff are asked for apart. Of each group every box above its threshold is a candidate, the most confident
first: a maker that wants the paper's rule takes the first of each mask type, one that balances classes has a choice.
A stuff region is what was cut out; a background is everything but the thing that was cut out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fauxlens.core.errors import BadSetting
from fauxlens.forge.needs import Download, find_weights
from fauxlens.forge.perceive.masks import AreaLimits, box_of, tidied
from fauxlens.forge.perceive.provider import Provider
from fauxlens.forge.perceive.vocabulary import SCENE_GROUPS, THINGS, allowed_stuff, number_of, prompt_name
from fauxlens.forge.region import Photo, Region

if TYPE_CHECKING:
    from fauxlens.forge.perceive.grounding_dino import Found, GroundingDino, Prompt
    from fauxlens.forge.perceive.sam2 import Cut, Sam2

_FINDER, _CUTTER = "grounding-dino", "sam2"


@dataclass(frozen=True, kw_only=True)
class GroundedSettings:
    """What is asked for, and from where on an answer counts. The paper gives none of these numbers; they are ours."""

    stuff_threshold: float = 0.30
    thing_threshold: float = 0.35
    least_overlap: float = 0.5  # that SAM expects of its mask
    same_box: float = 0.7  # boxes that share more than this of their union are one candidate
    labels_a_pass: int = 25  # longer lists of names find less
    shortest: int = 800  # sides at which GroundingDINO looks
    longest: int = 1333
    things: tuple[str, ...] = ()  # by name; empty is all 80
    groups: tuple[str, ...] = tuple(SCENE_GROUPS)  # of stuff
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    most: int = 8  # candidates of one mask type in one photo
    limits: AreaLimits = field(default_factory=AreaLimits)

    def __post_init__(self) -> None:
        for name in ("stuff_threshold", "thing_threshold", "least_overlap", "same_box"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadSetting(f"{name} is out of range", wanted="0 to 1", got=getattr(self, name))
        for name in ("labels_a_pass", "most", "shortest"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} is out of range", wanted="at least 1", got=getattr(self, name))
        if self.longest < self.shortest:
            raise BadSetting("longest is less than shortest", wanted=f"at least {self.shortest}", got=self.longest)
        unknown = [one for one in self.things if prompt_name(one) not in THINGS.values()]
        if unknown:
            raise BadSetting("a thing that COCO has not", wanted="one of its 80", got=unknown[0])
        allowed_stuff(self.groups, also=self.also, without=self.without)


class Grounded(Provider):
    """GroundingDINO's boxes, cut out by SAM 2.1. Both are loaded when the first photo comes."""

    name: ClassVar[str] = "grounded"
    settings_type: ClassVar[type] = GroundedSettings
    settings: GroundedSettings
    needs: ClassVar[tuple[Download, ...]] = (
        Download(
            repository="IDEA-Research/grounding-dino-tiny",
            licence="Apache-2.0",
            bytes=4 * 172_250_626,  # four bytes for each parameter of the library's class, counted
            part=_FINDER,
            files=("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        ),
        Download(
            repository="facebook/sam2.1-hiera-large",
            licence="Apache-2.0",
            bytes=4 * 224_400_000,  # four bytes for each of its owner's count of parameters
            part=_CUTTER,
            files=("config.json", "model.safetensors"),
        ),
    )

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._finder: GroundingDino | None = None
        self._cutter: Sam2 | None = None
        self._prompts: dict[str, tuple[Prompt, ...]] = {}
        self._digests: dict[str, str] = {}

    def regions(self, photo: Photo, seed: int) -> Sequence[Region]:
        """Stuff, then backgrounds, the most confident box first; nothing here is left to chance."""
        self._load()
        assert self._finder is not None
        assert self._cutter is not None
        settings = self.settings
        from fauxlens.forge.perceive.grounding_dino import distinct

        chosen: dict[str, list[Found]] = {}
        for mask_type, threshold in (("stuff", settings.stuff_threshold), ("background", settings.thing_threshold)):
            found = self._finder.find(photo.pixels, self._prompts[mask_type], threshold)
            chosen[mask_type] = distinct(found, settings.same_box, settings.most)
        every = [(mask_type, one) for mask_type, boxes in chosen.items() for one in boxes]
        if not every:
            return ()
        # One look at the photo serves all boxes of both groups.
        seen = self._cutter.look(photo.pixels)
        height, width = photo.pixels.shape[:2]
        cuts = self._cutter.cut(seen, [one.box for _, one in every], (height, width))
        return tuple(self._regions(every, cuts))

    def _regions(self, found: Sequence[tuple[str, Found]], cuts: Sequence[Cut]) -> Iterator[Region]:
        settings = self.settings
        for (mask_type, one), cut in zip(found, cuts, strict=True):
            if cut.overlap < settings.least_overlap:
                continue
            shown = tidied(cut.mask)
            mask = ~shown if mask_type == "background" else shown
            if not shown.any() or shown.all() or not settings.limits.admits(mask, mask_type):
                continue
            yield Region(
                mask=mask,
                mask_type=mask_type,
                category=one.name,
                score=one.score,
                provider=self.name,
                category_id=number_of(one.name),
                box=one.box,
                facts={
                    "box_score": one.score,
                    "expected_overlap": cut.overlap,
                    "presence": cut.presence,
                    "mask_box": list(box_of(shown)),
                    "threshold": settings.stuff_threshold if mask_type == "stuff" else settings.thing_threshold,
                    "candidates": sum(kind == mask_type for kind, _ in found),
                    "weights": dict(self._digests),
                },
            )

    def _load(self) -> None:
        if self._cutter is not None:
            return
        folder = find_weights(self.name, self.needs, self.weights)
        from fauxlens.forge.perceive.grounding_dino import GroundingDino
        from fauxlens.forge.perceive.pretrained import digest_of
        from fauxlens.forge.perceive.sam2 import Sam2

        settings = self.settings
        finder = GroundingDino(
            folder / _FINDER, device=self.device, shortest=settings.shortest, longest=settings.longest
        )
        things = tuple(map(prompt_name, settings.things)) or tuple(map(prompt_name, THINGS.values()))
        stuff = tuple(allowed_stuff(settings.groups, also=settings.also, without=settings.without).values())
        self._prompts = {
            "stuff": finder.prompts(stuff, settings.labels_a_pass),
            "background": finder.prompts(things, settings.labels_a_pass),
        }
        self._digests = {part: digest_of(folder / part) for part in (_FINDER, _CUTTER)}
        self._cutter = Sam2(folder / _CUTTER, device=self.device)
        self._finder = finder
