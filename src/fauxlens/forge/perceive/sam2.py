"""SAM 2.1 asked with boxes: one mask a box, at the photo's size. The library's own preparation needs torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fauxlens.forge.perceive.pretrained import load_model
from fauxlens.forge.region import Mask
from fauxlens.images.shapes import Pixels

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A mask at the photo's size, the overlap that the model expects of it, and its logit of there being anything."""

    mask: Mask
    overlap: float
    presence: float


class Sam2:
    """A photo is looked at once, and any number of boxes is cut out of what was seen."""

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        self.model = load_model("Sam2Model", folder, device=device, purpose="cutting regions out of their boxes")
        self.device = device
        self.side = int(self.model.config.prompt_encoder_config.image_size)

    def prepare(self, pixels: Pixels) -> Tensor:
        """(H, W, 3) -> (1, 3, side, side): stretched, not padded, ImageNet's statistics."""
        image = torch.from_numpy(np.array(pixels)).to(self.device).permute(2, 0, 1)[None].float() / 255.0
        image = F.interpolate(image, size=(self.side, self.side), mode="bilinear", align_corners=False, antialias=True)
        mean, deviation = (torch.tensor(one, device=self.device)[:, None, None] for one in (_MEAN, _DEVIATION))
        return (image - mean) / deviation

    def look(self, pixels: Pixels) -> list[Tensor]:
        """What the model sees in the photo; all its boxes share it."""
        with torch.inference_mode():
            seen: list[Tensor] = self.model.get_image_embeddings(self.prepare(pixels))
        return seen

    def cut(
        self, seen: list[Tensor], boxes: Sequence[tuple[float, float, float, float]], size: tuple[int, int]
    ) -> list[Cut]:
        """One mask for each of `boxes` (x0, y0, x1, y1 in the pixels of a photo of `size` = (height, width))."""
        if not boxes:
            return []
        height, width = size
        # The prompt encoder adds the half pixel itself.
        scale = torch.tensor([self.side / width, self.side / height] * 2, device=self.device)
        asked = torch.tensor([list(box) for box in boxes], dtype=torch.float32, device=self.device) * scale
        with torch.inference_mode():
            told = self.model(image_embeddings=seen, input_boxes=asked[None], multimask_output=False)
            # One at a time: the logits of sixteen boxes at the size of a large photo are most of a gigabyte.
            masks = [
                (F.interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=False)[0, 0] > 0).cpu()
                for logits in told.pred_masks[0]
            ]
        overlaps = told.iou_scores[0, :, 0].float().tolist()
        presences = told.object_score_logits[0].float().reshape(-1).tolist()
        return [
            Cut(mask.numpy(), overlap, presence)
            for mask, overlap, presence in zip(masks, overlaps, presences, strict=True)
        ]
