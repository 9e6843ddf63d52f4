"""The branch beside a frozen UNet: sizes, names, where it speaks, and that it is silent before and after."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from fauxlens.core.errors import BadShape, BadWeights
from fauxlens.forge.create.nets.brushnet import Branch, Residuals, as_condition, attached, filled, from_unet
from tiny_pipelines import WIDTH, speaking, tiny_unet

WIDTHS = (32, 64, 64, 64)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return tiny_unet(widths=WIDTHS, layers=2).requires_grad_(False).eval()


@pytest.fixture(scope="module", params=[False, True], ids=["brushnet", "powerpaint"])
def branch(request, unet):
    return speaking(from_unet(unet, attention=request.param)).requires_grad_(False).eval()


def _asked(unet, height: int = 12, width: int = 10):
    torch.manual_seed(5)
    return {
        "sample": torch.randn(2, 4, height, width), "timestep": torch.tensor(321),
        "encoder_hidden_states": torch.randn(2, 7, WIDTH),
    }  # fmt: skip


def _condition(height: int = 12, width: int = 10) -> Tensor:
    torch.manual_seed(6)
    hole = torch.zeros(2 * height, 2 * width, dtype=torch.bool)
    hole[:9, : width // 2] = True
    return as_condition(torch.randn(1, 4, height, width), hole)


def _words(branch: Branch) -> Tensor | None:
    torch.manual_seed(7)
    return torch.randn(2, 7, WIDTH) if branch.attention else None


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _hooks(network: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules())


@pytest.fixture(scope="module")
def full_size():
    """Stable Diffusion 1.5's UNet, with shapes and no numbers."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(sample_size=64, cross_attention_dim=768)


def test_counts_at_full_size(full_size):
    with torch.device("meta"):
        plain = Branch(full_size.config)
        attentive = Branch(full_size.config, attention=True)
    assert _parameters(full_size) == 859_520_964
    assert (_parameters(plain), _parameters(attentive)) == (618_830_080, 886_069_440)
    # The figure that was measured elsewhere counts the embedding of the level once, with the frozen UNet.
    assert (_parameters(plain) - _parameters(plain.time_embedding)) / 1e6 == pytest.approx(616.8, abs=0.05)
    for one in (plain, attentive):
        assert (len(one.brushnet_down_blocks), len(one.brushnet_up_blocks), one.zero_convolutions) == (12, 15, 28)
    zeros = sum(p.numel() for name, p in attentive.named_parameters() if name.startswith("brushnet_"))
    assert zeros / 1e6 == pytest.approx(26.5, abs=0.05)


def test_names_at_full_size_are_the_released_ones(full_size):
    with torch.device("meta"):
        names = set(Branch(full_size.config).state_dict())
    allowed = re.compile(
        r"(time_embedding\.linear_[12]|conv_in_condition|brushnet_(down|up)_blocks\.\d+|brushnet_mid_block"
        r"|(down|up)_blocks\.\d\.resnets\.\d\.(norm1|norm2|conv1|conv2|time_emb_proj|conv_shortcut)"
        r"|down_blocks\.\d\.downsamplers\.0\.conv|up_blocks\.\d\.upsamplers\.0\.conv"
        r"|mid_block\.resnets\.[01]\.(norm1|norm2|conv1|conv2|time_emb_proj))\.(weight|bias)"
    )
    assert [name for name in names if not allowed.fullmatch(name)] == []
    for name in ("brushnet_down_blocks.11.weight", "brushnet_up_blocks.14.bias", "mid_block.resnets.1.conv2.weight",
                 "down_blocks.2.downsamplers.0.conv.weight", "up_blocks.2.upsamplers.0.conv.weight"):  # fmt: skip
        assert name in names


def test_a_fresh_branch_says_nothing(unet):
    for attention in (False, True):
        fresh = from_unet(unet, attention=attention)
        plain = unet(**_asked(unet)).sample
        with torch.no_grad(), attached(unet, fresh, _condition(), words=_words(fresh)):
            told = unet(**_asked(unet)).sample
        assert (told - plain).abs().max().item() == 0.0


def test_a_branch_that_speaks_is_heard_while_attached_and_not_after(unet, branch):
    plain, hooks = unet(**_asked(unet)).sample, _hooks(unet)
    with attached(unet, branch, _condition(), words=_words(branch)):
        told = unet(**_asked(unet)).sample
        assert _hooks(unet) > hooks
    assert (told - plain).abs().max().item() > 0.01
    assert _hooks(unet) == hooks
    assert torch.equal(unet(**_asked(unet)).sample, plain)


def test_hooks_are_gone_after_an_error_in_the_middle(unet, branch, monkeypatch):
    plain, hooks = unet(**_asked(unet)).sample, _hooks(unet)

    def fails(*given: object, **named: object) -> None:
        raise RuntimeError("the memory is full")

    with monkeypatch.context() as patched:
        patched.setattr(unet.mid_block, "forward", fails)
        with pytest.raises(RuntimeError, match="memory"), attached(unet, branch, _condition(), words=_words(branch)):
            unet(**_asked(unet))
    assert _hooks(unet) == hooks
    assert torch.equal(unet(**_asked(unet)).sample, plain)


def _by_hand(unet, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, said: Residuals) -> Tensor:
    """The UNet layer by layer, with each residual added where the authors' description puts it."""
    words = {"encoder_hidden_states": encoder_hidden_states}
    time = unet.time_embedding(unet.time_proj(timestep.expand(len(sample))))
    down, up = list(said.down), list(said.up)

    def layers(block, hidden: Tensor, place: int) -> Tensor:
        hidden = block.resnets[place](hidden, time)
        return (
            block.attentions[place](hidden, return_dict=False, **words)[0] if hasattr(block, "attentions") else hidden
        )

    hidden = unet.conv_in(sample)
    skips = [hidden]
    hidden = hidden + down.pop(0)
    for block in unet.down_blocks:
        for place in range(len(block.resnets)):
            hidden = layers(block, hidden, place) + down.pop(0)
            skips.append(hidden)
        if block.downsamplers is not None:
            hidden = block.downsamplers[0](hidden) + down.pop(0)
            skips.append(hidden)
    hidden = unet.mid_block(hidden, time, **words) + said.mid
    for block in unet.up_blocks:
        for place in range(len(block.resnets)):
            hidden = layers(block, torch.cat([hidden, skips.pop()], dim=1), place) + up.pop(0)
        if block.upsamplers is not None:
            hidden = block.upsamplers[0](hidden, skips[-1].shape[2:]) + up.pop(0)
    assert down == up == skips == []
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))


@pytest.mark.parametrize("size", [(16, 24), (12, 10)], ids=["even", "odd"])
def test_residuals_are_added_where_they_belong(unet, branch, size):
    asked, condition, words = _asked(unet, *size), _condition(*size), _words(branch)
    with attached(unet, branch, condition, words=words, scale=0.7):
        told = unet(**asked).sample
    said = branch(asked["sample"], asked["timestep"], condition.repeat(2, 1, 1, 1), words, 0.7)
    assert len(said.down) == 12
    assert len(said.up) == 15
    torch.testing.assert_close(told, _by_hand(unet, **asked, said=said), rtol=1e-5, atol=1e-5)


def test_both_halves_of_a_guided_batch_are_told(unet):
    branch = speaking(from_unet(unet)).eval()
    asked = _asked(unet)
    asked["sample"] = asked["sample"][:1].repeat(2, 1, 1, 1)
    asked["encoder_hidden_states"] = asked["encoder_hidden_states"][:1].repeat(2, 1, 1)
    with torch.no_grad(), attached(unet, branch, _condition()):
        told = unet(**asked).sample
    torch.testing.assert_close(told[0], told[1])
    assert (told - unet(**asked).sample).abs().amax(dim=(1, 2, 3)).min().item() > 0.01


def test_a_scale_of_nothing_is_silence(unet, branch):
    plain = unet(**_asked(unet)).sample
    with attached(unet, branch, _condition(), words=_words(branch), scale=0.0):
        assert torch.equal(unet(**_asked(unet)).sample, plain)


@pytest.mark.parametrize("channels", [4, 9])
def test_a_fresh_branch_begins_as_the_unet(channels):
    torch.manual_seed(0)
    taken = tiny_unet(channels)
    branch = from_unet(taken)
    first = taken.conv_in.weight[:, :4]
    assert torch.equal(branch.conv_in_condition.weight[:, :4], first)
    assert torch.equal(branch.conv_in_condition.weight[:, 4:8], first)
    assert branch.conv_in_condition.weight[:, 8].abs().max() == 0
    assert branch.conv_in_condition.weight.shape[1] == 9
    theirs = taken.state_dict()
    shared = [name for name in branch.state_dict() if name in theirs]
    assert "mid_block.resnets.1.conv1.weight" in shared
    assert all(torch.equal(branch.state_dict()[name], theirs[name]) for name in shared)
    own = {name.split(".")[0] for name in branch.state_dict() if name not in theirs}
    assert own == {"conv_in_condition", "brushnet_down_blocks", "brushnet_mid_block", "brushnet_up_blocks"}


def test_the_mask_of_a_condition_is_one_where_the_picture_is_kept():
    hole = torch.zeros(8, 12, dtype=torch.bool)
    hole[:2, 4:] = True
    condition = as_condition(torch.full((1, 4, 4, 6), 0.5), hole)
    assert condition.shape == (1, 5, 4, 6)
    assert condition[0, 4, 0].tolist() == [1, 1, 0, 0, 0, 0]
    assert condition[0, 4, 1:].min() == 1
    assert torch.equal(condition[0, :4], torch.full((4, 4, 6), 0.5))


def test_a_file_fills_a_branch_exactly_and_draws_nothing(unet, branch):
    before = torch.random.get_rng_state()
    again = filled(unet.config, branch.state_dict(), attention=branch.attention)
    assert torch.equal(torch.random.get_rng_state(), before)
    condition, words = _condition().repeat(2, 1, 1, 1), _words(branch)
    asked = _asked(unet)
    one = branch(asked["sample"], asked["timestep"], condition, words)
    two = again(asked["sample"], asked["timestep"], condition, words)
    assert torch.equal(one.mid, two.mid)
    assert all(torch.equal(a, b) for a, b in zip(one.down + one.up, two.down + two.up, strict=True))


def test_what_does_not_fit_is_refused(unet):
    state = from_unet(unet).state_dict()
    with pytest.raises(BadWeights, match=r"do not fit the branch: .* missing \(conv_in_condition.bias\)"):
        filled(unet.config, {name: one for name, one in state.items() if name != "conv_in_condition.bias"})
    with pytest.raises(BadWeights, match="NaN"):
        filled(unet.config, {**state, "brushnet_mid_block.bias": torch.full((64,), float("nan"))})
    with pytest.raises(BadWeights, match=r"unexpected .*attentions"):
        filled(unet.config, from_unet(unet, attention=True).state_dict())
    with pytest.raises(BadWeights, match="addition_embed_type"):
        Branch({**unet.config, "addition_embed_type": "text_time"})
    small = tiny_unet()
    with pytest.raises(BadWeights, match="another UNet"), attached(small, from_unet(unet), _condition()):
        pass
    assert _hooks(small) == 0


def test_words_and_batches_must_fit(unet):
    plain = from_unet(unet)
    with pytest.raises(BadShape, match="attention"):
        plain(torch.randn(1, 4, 8, 8), torch.tensor(1), torch.randn(1, 5, 8, 8), torch.randn(1, 7, WIDTH))
    with pytest.raises(BadShape, match="batch"), attached(unet, plain, _condition().repeat(3, 1, 1, 1)):
        unet(**_asked(unet))
    assert _hooks(unet) == 0
