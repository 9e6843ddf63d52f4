"""PowerPaint's task words: what is asked of a region, as vectors among the words of a prompt.

Three tasks were learnt, ten vectors each: P_ctxt fills from the surroundings, P_shape an outline, P_obj any thing.
The released text encoder keeps them beside its table of words; here they are rows of an enlarged table, and a prompt
is written in numbers: the words as far as there is room, the ten of its task, the end. So a long prompt cannot push
its task out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fauxlens.core.errors import BadWeights
from fauxlens.core.optional import need
from fauxlens.forge.create.method import Request
from fauxlens.forge.create.pipelines import (
    DiffusionSettings,
    check_side,
    native_size,
    plain_tokens,
    within,
    words_lost,
)

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 1280
TASKS = ("P_ctxt", "P_shape", "P_obj")
_TABLE = "embeddings.token_embedding."
_TEXT = "text_model."


@dataclass(frozen=True, slots=True)
class Mode:
    """Two tasks for what is wanted, mixed by the fitting degree, and two for what is not."""

    wanted: tuple[str, str]
    unwanted: tuple[str, str]
    quality: bool  # words of bad quality are added to what is not wanted
    context: bool  # words of an empty scene are put before what is wanted


MODES: dict[str, Mode] = {
    "text": Mode(("P_obj", "P_obj"), ("P_obj", "P_obj"), quality=True, context=False),
    "shape": Mode(("P_shape", "P_ctxt"), ("P_shape", "P_ctxt"), quality=True, context=False),
    "context": Mode(("P_ctxt", "P_ctxt"), ("P_obj", "P_obj"), quality=False, context=True),
}
"""text: a thing or place in words; shape: the same, to the region's outline; context: what the surroundings suggest."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings(DiffusionSettings):
    """What both versions of PowerPaint let their user choose; the defaults are those of the authors' demonstration."""

    steps: int = 45
    stuff: Literal["text", "shape"] = "text"
    background: Literal["context", "text"] = "context"
    fitting: float = 0.55  # in the mode `shape`: how closely the outline is followed
    context_words: str = "empty scene blur"  # before the prompt in the mode `context`
    quality_words: str = ""  # behind `negative` in the modes `text` and `shape`
    side: int = 640  # the shorter side that is worked at
    context_side: int = 512  # the same in the mode `context`

    def __post_init__(self) -> None:
        super().__post_init__()
        within("fitting", self.fitting, 0.0, 1.0)
        check_side("side", self.side)
        check_side("context_side", self.context_side)

    def mode_for(self, mask_type: str) -> str:
        """What is asked for a region of this type; a shape that means nothing is asked for as stuff in words is."""
        if mask_type == "background":
            return self.background
        return self.stuff if mask_type == "stuff" else "text"

    def size_for(self, request: Request) -> tuple[int, int]:
        """(height, width) at which a request is made."""
        side = self.context_side if self.mode_for(request.mask_type) == "context" else self.side
        return native_size(request.mask.shape, longest=LONGEST, shorter=side, enlarge=self.enlarge)

    def wanted(self, mode: Mode, prompt: str) -> str:
        """The prompt in a mode."""
        return f"{self.context_words} {prompt}".strip() if mode.context else prompt

    def unwanted(self, mode: Mode) -> str:
        """What shall not be there, in a mode."""
        return ", ".join(one for one in (self.negative, self.quality_words if mode.quality else "") if one)

    def facts(self, name: str) -> dict[str, Any]:
        """What decided the words, for the record."""
        mode = MODES[name]
        same = mode.wanted[0] == mode.wanted[1]
        return {
            "mode": name, "tasks": list(mode.wanted), "unwanted_tasks": list(mode.unwanted),
            "fitting": 1.0 if same else self.fitting, "unwanted": self.unwanted(mode),
            "context_words": self.context_words if mode.context else "",
        }  # fmt: skip


class TaskWords:
    """A text encoder that knows the tasks. `state` is what was released: its own names, or older ones."""

    def __init__(self, config: Any, tokenizer: Any, state: Mapping[str, Tensor], *, where: object = None) -> None:
        import torch

        from fauxlens.detectors.checkpoint import load_strictly

        transformers = need("transformers", "forge", "PowerPaint's task words")
        table, self.vectors = enlarged(state, where)
        self.tokenizer = tokenizer
        self.first = table[_TABLE + "weight"].shape[0] - sum(self.vectors.values())
        sizes = copy.deepcopy(config)
        sizes.vocab_size = table[_TABLE + "weight"].shape[0]
        with torch.random.fork_rng(devices=[]):
            encoder = transformers.CLIPTextModel(sizes)
        # Older releases of the library put everything below one more name, and so do files of their time.
        prefix = _TEXT if any(name.startswith(_TEXT) for name in encoder.state_dict()) else ""
        load_strictly(encoder, {prefix + name: tensor for name, tensor in table.items()}, where)
        self.encoder = encoder.requires_grad_(False).eval()

    def to(self, device: Any, dtype: Any) -> TaskWords:
        """On that device, in that kind of number."""
        self.encoder = self.encoder.to(device, dtype)
        return self

    def numbers(self, prompt: str, task: str) -> list[int]:
        """A prompt and its task as numbers of tokens, begun, ended and filled to the encoder's length."""
        tokenizer = self.tokenizer
        length: int = tokenizer.model_max_length
        start = self.first
        for name in TASKS[: TASKS.index(task)]:
            start += self.vectors[name]
        own = list(range(start, start + self.vectors[task]))
        said = plain_tokens(tokenizer, prompt)[: length - 2 - len(own)]
        numbers = [tokenizer.bos_token_id, *said, *own, tokenizer.eos_token_id]
        return numbers + [tokenizer.pad_token_id] * (length - len(numbers))

    def lost(self, prompt: str) -> int:
        """How many of a prompt's tokens are not said, since the task needs their room."""
        return words_lost(self.tokenizer, prompt, self.tokenizer.model_max_length - 2 - max(self.vectors.values()))

    def told(self, prompt: str, task: str) -> Tensor:
        """(1, L, C): what the encoder makes of a prompt with its task."""
        import torch

        with torch.no_grad():
            numbers = torch.tensor([self.numbers(prompt, task)], device=self.encoder.device)
            found: Tensor = self.encoder(numbers).last_hidden_state
        return found

    def mixed(self, prompt: str, tasks: tuple[str, str], fitting: float) -> Tensor:
        """The first task by the share `fitting`, the second by the rest."""
        first = self.told(prompt, tasks[0])
        if tasks[0] == tasks[1]:
            return first
        return fitting * first + (1.0 - fitting) * self.told(prompt, tasks[1])


def task_words(pipe: Any, path: Any) -> TaskWords:
    """The encoder that knows the tasks, of the size of the pipeline's own, beside it."""
    from fauxlens.detectors.checkpoint import read_tensors

    config = pipe.text_encoder.config
    return TaskWords(config, pipe.tokenizer, read_tensors(path), where=path).to(pipe.device, pipe.unet.dtype)


def task_embeddings(words: TaskWords, settings: TaskSettings, name: str, prompt: str) -> tuple[Any, Any]:
    """(1, L, C) of what is wanted, and of what is not, in a mode."""
    mode = MODES[name]
    wanted = words.mixed(settings.wanted(mode, prompt), mode.wanted, settings.fitting)
    return wanted, words.mixed(settings.unwanted(mode), mode.unwanted, settings.fitting)


def enlarged(state: Mapping[str, Tensor], where: object = None) -> tuple[dict[str, Tensor], dict[str, int]]:
    """A released text encoder's tensors, the tasks' vectors below the table of words, and how many each task has."""
    import torch

    plain = {name.removeprefix(_TEXT): tensor for name, tensor in state.items()}
    # A counter that older versions of the library stored.
    plain.pop("embeddings.position_ids", None)
    names = {task: f"{_TABLE}trainable_embeddings.{task}" for task in TASKS}
    wrapped = _TABLE + "wrapped.weight"
    if missing := [name for name in (wrapped, *names.values()) if name not in plain]:
        raise BadWeights(
            "not a text encoder with tasks", where=where, wanted=", ".join(missing), got=f"{len(state)} other tensors",
            hint="give the text encoder that PowerPaint's authors released",
        )  # fmt: skip
    words = plain.pop(wrapped)
    vectors = {task: plain.pop(name) for task, name in names.items()}
    for task, tensor in vectors.items():
        if tensor.dim() != 2 or tensor.shape[1:] != words.shape[1:] or not len(tensor):
            raise BadWeights(
                f"the vectors of {task} do not fit the words", where=where, wanted=f"(10, {words.shape[-1]})",
                got=tuple(tensor.shape),
            )  # fmt: skip
    plain[_TABLE + "weight"] = torch.cat([words, *(vectors[task].to(words.dtype) for task in TASKS)])
    return plain, {task: len(tensor) for task, tensor in vectors.items()}
