"""SegFormer's encoders as others publish them: names of the transformers library to SegFormer's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_PREFIXES = ("segformer.encoder.", "encoder.")


def segformer_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an encoder in the transformers layout under SegFormer's own names; the classifier is left out.

    Key and value projections, apart there, become one `kv`. A state that is in SegFormer's own names already comes
    back without its classifier.
    """
    prefix = next((p for p in _PREFIXES if any(name.startswith(p) for name in state)), None)
    if prefix is None:
        return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(prefix):
            renamed = _renamed(name.removeprefix(prefix))
            if renamed is not None:
                found[renamed] = tensor
    for name in [n for n in found if ".attn.key." in n]:
        value = name.replace(".attn.key.", ".attn.value.")
        found[name.replace(".attn.key.", ".attn.kv.")] = torch.cat((found.pop(name), found.pop(value)))
    return found


_INNER = (
    (r"layer_norm_([12])\.", r"norm\1."),
    (r"attention\.self\.query\.", "attn.q."),
    (r"attention\.self\.(key|value)\.", r"attn.\1."),
    (r"attention\.self\.sr\.", "attn.sr."),
    (r"attention\.self\.layer_norm\.", "attn.norm."),
    (r"attention\.output\.dense\.", "attn.proj."),
    (r"mlp\.dense([12])\.", r"mlp.fc\1."),
    (r"mlp\.dwconv\.dwconv\.", "mlp.dwconv.dwconv."),
)


def _renamed(name: str) -> str | None:
    if match := re.match(r"patch_embeddings\.(\d)\.(proj|layer_norm)\.(.+)", name):
        part = "proj" if match[2] == "proj" else "norm"
        return f"patch_embed{int(match[1]) + 1}.{part}.{match[3]}"
    if match := re.match(r"layer_norm\.(\d)\.(.+)", name):
        return f"norm{int(match[1]) + 1}.{match[2]}"
    if match := re.match(r"block\.(\d)\.(\d+)\.(.+)", name):
        for pattern, ours in _INNER:
            inner, count = re.subn("^" + pattern, ours, match[3])
            if count:
                return f"block{int(match[1]) + 1}.{match[2]}.{inner}"
    return None
