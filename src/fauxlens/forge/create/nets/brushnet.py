"""BrushNet's branch: a second UNet that tells a frozen one, feature by feature, what the kept part looks like.

It is built of the library's own blocks. With `attention` off it is BrushNet's (residual blocks alone, no text); with
it on it is PowerPaint v2's (the same, with the cross-attention kept). Its first convolution takes nine channels: the
noisy latent, the latent of the masked picture, and the mask, 1 where the picture is kept. Each of its features goes
through a 1x1 convolution that starts at zero.

Unlike ControlNet's, the residuals are not given to the skips alone: each is added to the running hidden state of the
frozen UNet right after the layer that it belongs to, so a skip that is stored later holds it already. Only the very
first skip is stored before its addition. The library's UNet has no argument for that, so `attached` hooks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape, BadWeights
from fauxlens.core.optional import need
from fauxlens.detectors.checkpoint import check_finite, difference

LATENT = 4
CONDITION = LATENT + 1
"""Channels of a condition: the latent of the masked picture, and the mask."""


@dataclass(frozen=True, slots=True)
class Residuals:
    """What the branch adds to the frozen UNet: on the way down, in the middle, on the way up."""

    down: tuple[Tensor, ...]
    mid: Tensor
    up: tuple[Tensor, ...]


class Branch(nn.Module):
    """Noisy latents (N, 4, H, W), levels of noise and a condition (N, 5, H, W) -> residuals, all zero when fresh.

    `config` is that of the UNet it belongs to. `state_dict` has the released files' own names.
    """

    def __init__(self, config: Mapping[str, Any], *, attention: bool = False) -> None:
        super().__init__()
        diffusers = need("diffusers", "forge", "BrushNet's branch")
        blocks = need("diffusers.models.unets.unet_2d_blocks", "forge", "BrushNet's branch")
        sizes = {name: value for name, value in config.items() if not name.startswith("_")}
        for name in ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim"):
            if sizes.get(name) is not None:
                raise BadWeights(
                    f"the branch knows no UNet with '{name}'", wanted="one of Stable Diffusion 1.5", got=sizes[name]
                )
        widths = tuple(sizes["block_out_channels"])
        if not attention:
            sizes["down_block_types"] = ("DownBlock2D",) * len(widths)
            sizes["up_block_types"] = ("UpBlock2D",) * len(widths)
            sizes["mid_block_type"] = None
        sizes["in_channels"] = LATENT + CONDITION
        whole = diffusers.UNet2DConditionModel(**sizes)
        self.attention = attention
        self.time_proj = whole.time_proj
        self.time_embedding = whole.time_embedding
        self.conv_in_condition = whole.conv_in
        self.down_blocks = whole.down_blocks
        # The library's own middle without attention has one residual block; the branch's has two.
        self.mid_block = whole.mid_block or blocks.UNetMidBlock2D(
            in_channels=widths[-1], temb_channels=4 * widths[0], num_layers=1, add_attention=False,
            resnet_eps=sizes["norm_eps"], resnet_act_fn=sizes["act_fn"], resnet_groups=sizes["norm_num_groups"],
            resnet_time_scale_shift=sizes["resnet_time_scale_shift"],
            output_scale_factor=sizes["mid_block_scale_factor"],
        )  # fmt: skip
        self.up_blocks = whole.up_blocks
        self.brushnet_down_blocks = nn.ModuleList(_zero(width) for width in _down_widths(self.down_blocks, widths[0]))
        self.brushnet_mid_block = _zero(widths[-1])
        self.brushnet_up_blocks = nn.ModuleList(_zero(width) for width in _up_widths(self.up_blocks))

    @property
    def zero_convolutions(self) -> int:
        """How many places of the UNet the branch speaks to."""
        return len(self.brushnet_down_blocks) + 1 + len(self.brushnet_up_blocks)

    def forward(
        self, noisy: Tensor, level: Tensor, condition: Tensor, words: Tensor | None = None, scale: float = 1.0
    ) -> Residuals:
        """`level` is a number or (N,); `words` (N, L, C) only where the branch has attention."""
        if self.attention != (words is not None):
            raise BadShape("words go to a branch with attention, and to no other", got=f"attention {self.attention}")
        told: dict[str, Tensor | None] = {"encoder_hidden_states": words} if self.attention else {}
        # The library's embedding always counts in single precision.
        time = self.time_embedding(self.time_proj(level.reshape(-1).expand(len(noisy))).to(noisy.dtype))
        hidden = self.conv_in_condition(torch.cat([noisy, condition], dim=1))
        skips = [hidden]
        for block in self.down_blocks:
            hidden, found = block(hidden_states=hidden, temb=time, **(told if _attends(block) else {}))
            skips.extend(found)
        down = tuple(zero(skip) * scale for zero, skip in zip(self.brushnet_down_blocks, skips, strict=True))
        hidden = self.mid_block(hidden, time, **told)
        mid = self.brushnet_mid_block(hidden) * scale
        features: list[Tensor] = []
        for block in self.up_blocks:
            for place, resnet in enumerate(block.resnets):
                hidden = resnet(torch.cat([hidden, skips.pop()], dim=1), time)
                if _attends(block):
                    hidden = block.attentions[place](hidden, return_dict=False, **told)[0]
                features.append(hidden)
            if block.upsamplers is not None:
                # To the size of the next skip, which is not the double where a side was odd.
                hidden = block.upsamplers[0](hidden, skips[-1].shape[2:])
                features.append(hidden)
        up = tuple(zero(one) * scale for zero, one in zip(self.brushnet_up_blocks, features, strict=True))
        return Residuals(down, mid, up)


def from_unet(unet: nn.Module, *, attention: bool = False) -> Branch:
    """A fresh branch as training begins it: the UNet's own weights, and zero where it speaks.

    The first convolution sees both latents as the UNet sees its one, and the mask not at all.
    """
    config: Mapping[str, Any] = unet.config  # type: ignore[assignment]
    with torch.random.fork_rng(devices=[]):
        branch = Branch(config, attention=attention)
    state, taken = branch.state_dict(), unet.state_dict()
    for name in state:
        if name in taken:
            state[name] = taken[name]
    first = taken["conv_in.weight"][:, :LATENT]
    state["conv_in_condition.weight"] = torch.cat([first, first, torch.zeros_like(first[:, :1])], dim=1)
    state["conv_in_condition.bias"] = taken["conv_in.bias"]
    branch.load_state_dict(state)
    return branch


def filled(
    config: Mapping[str, Any], state: Mapping[str, Tensor], *, attention: bool = False, where: object = None
) -> Branch:
    """A branch that holds `state`, which must fit by name and shape; no number is drawn on the way."""
    with torch.device("meta"):
        branch = Branch(config, attention=attention)
    found = difference(state, branch.state_dict())
    if found:
        raise BadWeights(
            f"the weights do not fit the branch: {found}", where=where,
            hint="give the branch that belongs to this UNet, as its authors released it",
        )  # fmt: skip
    check_finite(state, where)
    branch.load_state_dict(dict(state), assign=True)
    return branch.requires_grad_(False).eval()


def as_condition(masked: Tensor, hole: Tensor) -> Tensor:
    """The latent (1, 4, h, w) of the picture with its hole black, and the hole (H, W) bool -> a condition (1, 5, h, w).

    The branch is told what is kept, not what is to be made: its mask is 1 outside the hole.
    """
    kept = (~hole).to(masked.dtype).to(masked.device)[None, None]
    return torch.cat([masked, F.interpolate(kept, size=masked.shape[-2:], mode="nearest")], dim=1)


@contextmanager
def attached(
    unet: nn.Module, branch: Branch, condition: Tensor, *, words: Tensor | None = None, scale: float = 1.0
) -> Iterator[None]:
    """While this lasts, every call of `unet` is told by `branch`; afterwards, also after an error, none is.

    `condition` is of one picture and is repeated for every half of a guided batch; so is `words` unless it already
    is as long as the batch.
    """
    down, mid, up = _places(unet)
    wanted = (len(branch.brushnet_down_blocks), len(branch.brushnet_up_blocks))
    if wanted != (len(down) + 1, len(up)):
        raise BadWeights(
            "the branch belongs to another UNet", wanted=f"{len(down) + 1} places down and {len(up)} up",
            got=f"{wanted[0]} and {wanted[1]}",
        )  # fmt: skip
    said: list[Residuals] = []

    def ask(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        noisy = arguments[0] if arguments else named["sample"]
        level = torch.as_tensor(arguments[1] if len(arguments) > 1 else named["timestep"], device=noisy.device)
        told = None if words is None else _repeated(words, len(noisy))
        said[:] = [branch(noisy, level, _repeated(condition, len(noisy)), told, scale)]

    def forget(module: nn.Module, arguments: tuple[Any, ...], found: Any) -> None:
        said.clear()

    def first(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return arguments, {**named, "hidden_states": named["hidden_states"] + said[0].down[0]}

    def adding(residual: Callable[[Residuals], Tensor]) -> Callable[..., Any]:
        def add(module: nn.Module, arguments: tuple[Any, ...], found: Any) -> Any:
            # Attention gives a tuple of one; everything else the tensor itself.
            if isinstance(found, tuple):
                return (found[0] + residual(said[0]), *found[1:])
            return found + residual(said[0])

        return add

    blocks: Any = unet.down_blocks
    handles: list[Any] = []
    try:
        handles.append(unet.register_forward_pre_hook(ask, with_kwargs=True))
        handles.append(unet.register_forward_hook(forget))
        handles.append(blocks[0].register_forward_pre_hook(first, with_kwargs=True))
        for number, place in enumerate(down, start=1):
            handles.append(place.register_forward_hook(adding(lambda all_, at=number: all_.down[at])))  # type: ignore[misc]
        handles.append(mid.register_forward_hook(adding(lambda all_: all_.mid)))
        for number, place in enumerate(up):
            handles.append(place.register_forward_hook(adding(lambda all_, at=number: all_.up[at])))  # type: ignore[misc]
        yield
    finally:
        for handle in handles:
            handle.remove()
        said.clear()


def _places(unet: nn.Module) -> tuple[list[nn.Module], nn.Module, list[nn.Module]]:
    """The layers of a UNet behind which a residual is added: down without the first, middle, up."""
    held: Any = unet
    down = [place for block in held.down_blocks for place in _layers(block, block.downsamplers)]
    up = [place for block in held.up_blocks for place in _layers(block, block.upsamplers)]
    return down, held.mid_block, up


def _layers(block: Any, resamplers: Any) -> Sequence[nn.Module]:
    return [*(block.attentions if _attends(block) else block.resnets), *([] if resamplers is None else resamplers[-1:])]


def _attends(block: Any) -> bool:
    return bool(getattr(block, "has_cross_attention", False))


def _repeated(one: Tensor, count: int) -> Tensor:
    if count % len(one):
        raise BadShape("a batch that is no multiple of what the branch is told", wanted=len(one), got=count)
    return one.repeat(count // len(one), *(1 for _ in one.shape[1:]))


def _down_widths(blocks: Any, first: int) -> list[int]:
    widths = [first]
    for block in blocks:
        widths += [resnet.out_channels for resnet in block.resnets]
        widths += [] if block.downsamplers is None else [block.downsamplers[-1].out_channels]
    return widths


def _up_widths(blocks: Any) -> list[int]:
    widths = []
    for block in blocks:
        widths += [resnet.out_channels for resnet in block.resnets]
        widths += [] if block.upsamplers is None else [block.upsamplers[-1].out_channels]
    return widths


def _zero(width: int) -> nn.Conv2d:
    convolution = nn.Conv2d(width, width, kernel_size=1)
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution
