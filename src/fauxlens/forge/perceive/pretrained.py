"""A model that lies in a folder, as the transformers library saves one: loaded whole or refused, never fetched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fauxlens.core.errors import BadWeights, FauxlensError
from fauxlens.core.files import sha256_of
from fauxlens.core.optional import need


def load_model(kind: str, folder: Path, *, device: str, purpose: str, dtype: torch.dtype = torch.float32) -> Any:
    """The model of the library's class `kind` with the tensors of `folder`, ready to be asked.

    A tensor that is not in the folder would be left at chance by the library, with a line in a log: here it is refused.
    """
    transformers = need("transformers", "forge", purpose)
    try:
        maker = getattr(transformers, kind)
        with _quiet(need("transformers.utils.logging", "forge", purpose)):
            # The class's own, not the folder's: SAM 2.1 is published in its form for videos, of which the one for
            # pictures is a part.
            config = maker.config_class.from_pretrained(folder, local_files_only=True)
            # Kernels of their own are fetched from the network when they are not there.
            if hasattr(config, "disable_custom_kernels"):
                config.disable_custom_kernels = True
            model, told = maker.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
            )
    except FauxlensError:
        raise
    except Exception as bad:
        raise _refused(kind, folder, f"{type(bad).__name__}: {bad}") from bad
    for fault in ("missing_keys", "mismatched_keys", "error_msgs"):
        if told.get(fault):
            raise _refused(kind, folder, f"{fault.replace('_', ' ')}: {sorted(map(str, told[fault]))[0]}")
    return model.to(device).eval().requires_grad_(False)


def load_tokenizer(folder: Path, *, purpose: str) -> Any:
    """The tokenizer of `folder`, of the sort that tells where in the text each token stood."""
    transformers = need("transformers", "forge", purpose)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as bad:
        raise _refused("tokenizer", folder, f"{type(bad).__name__}: {bad}") from bad
    if not getattr(tokenizer, "is_fast", False):
        raise _refused("tokenizer", folder, "a tokenizer without offsets; tokenizer.json is missing")
    return tokenizer


def digest_of(folder: Path) -> str:
    """The SHA-256 of a folder's one file of tensors; of several, the digests in order of their names, comma between."""
    return ",".join(sha256_of(file) for file in sorted(folder.glob("*.safetensors")))


@contextmanager
def _quiet(log: Any) -> Iterator[None]:
    """Without the library's bars and reports: what matters of them is raised here, and the rest is left as it was."""
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _refused(kind: str, folder: Path, got: str) -> BadWeights:
    return BadWeights(
        f"no {kind} that can be used",
        where=folder,
        wanted="a folder as transformers' save_pretrained leaves it",
        got=got.partition("\n")[0],
        hint="download it again, all files of one revision",
    )
