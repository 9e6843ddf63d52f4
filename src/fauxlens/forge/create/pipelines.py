"""What the methods by diffusion share: a folder to a pipeline, a seed to chance, a photo to a condition, a frame back.

Pipelines come from folders on this machine, as their library saves them, and from safetensors alone. What a user never
asked for stays off: invisible watermarks, which any detector would find, and filters that paint a picture black. A
frame that is black all over is an error and not a sample.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from fauxlens.core.errors import BadFrame, BadSetting, BadWeights, OutOfMemory
from fauxlens.core.files import sha256_of
from fauxlens.core.optional import need
from fauxlens.forge.create.method import Fill, Method, Request
from fauxlens.images.shapes import Pixels

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["auto", "float32", "float16", "bfloat16"]
DIVISOR = 8
BASE = "base"
"""The part of a method's folder that holds the pipeline it stands on, where it is not the folder itself."""

_VARIANT = re.compile(r"\.([a-z_0-9]+)(?:-\d+-of-\d+)?\.safetensors$")

_SPARED = ("safety_checker", "feature_extractor", "image_encoder")

OPEN_RAIL = "attachment A of the licence lists uses that are not allowed, also of what is made"

NO_FILTER = {"safety_checker": None, "requires_safety_checker": False}
"""The filter answers with a black picture, which would be an error; who publishes what was made looks at it first."""


@dataclass(frozen=True, kw_only=True)
class DiffusionSettings:
    """What all methods by diffusion let their user choose. Words of the request are the prompt."""

    steps: int = 50
    guidance: float = 7.5  # how strongly words are followed; at 1 and below they are not weighed against `negative`
    negative: str = ""  # what shall not be there
    enlarge: bool = True  # small photos are brought to the size the model was trained at, and the frame back
    precision: Precision = "auto"  # auto: single on a processor, half on a GPU
    variant: str = ""  # of the files, as in unet/diffusion_pytorch_model.fp16.safetensors

    def __post_init__(self) -> None:
        within("steps", self.steps, 1, 1000)
        within("guidance", self.guidance, 0.0, 100.0)


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuse a setting outside of its range, both ends included."""
    if not low <= value <= high:
        raise BadSetting(f"{name} is out of range", wanted=f"{low} to {high}", got=value)


def check_side(name: str, side: int) -> None:
    """Refuse a working size that these models do not know."""
    if not 64 <= side <= 1024 or side % DIVISOR:
        raise BadSetting(f"{name} is out of range", wanted="a multiple of 8 from 64 to 1024", got=side)


def native_size(
    size: tuple[int, int], *, longest: int, shorter: int | None = None, enlarge: bool = True
) -> tuple[int, int]:
    """(height, width), multiples of 8, at which a model is at home.

    The shorter side becomes `shorter`, unless the longer one would exceed `longest`; without `shorter` the longer side
    becomes `longest`. Without `enlarge` nothing grows, save to the next multiple.

    >>> native_size((333, 500), longest=1024)
    (680, 1024)
    >>> native_size((333, 500), longest=1024, shorter=512)
    (512, 768)
    >>> native_size((333, 500), longest=1024, enlarge=False)
    (336, 504)
    >>> native_size((200, 2000), longest=1024, shorter=512)
    (104, 1024)
    """
    height, width = size
    scale = longest / max(size)
    if shorter is not None:
        scale = min(scale, shorter / min(size))
    if not enlarge:
        scale = min(scale, 1.0)
    top = longest - longest % DIVISOR

    def fitted(side: int) -> int:
        return min(top, max(DIVISOR, int(side * scale / DIVISOR + 0.5) * DIVISOR))

    return fitted(height), fitted(width)


class DiffusionMethod(Method):
    """A method that stands on a saved pipeline. A subclass says of which kind, and how it is called.

    The pipeline is loaded when the first request comes, and kept.
    """

    pipeline_kind: ClassVar[str]
    settings: DiffusionSettings

    def __init__(self, settings: Any = None, *, weights: Path | None = None, device: str = "cpu") -> None:
        super().__init__(settings, weights=weights, device=device)
        self._pipe: Any = None
        self._digests: dict[str, str] = {}

    @property
    def pipe(self) -> Any:
        """The pipeline, ready; the library tells no types."""
        if self._pipe is None:
            self._pipe = self.load()
        return self._pipe

    @abstractmethod
    def load(self) -> Any:
        """Find the files and make the pipeline of them."""

    def pipeline_from(self, folder: Path, **given: Any) -> Any:
        """The saved pipeline of `folder`, on this method's device; its digest is kept for the record."""
        settings = self.settings
        pipe = load_pipeline(
            self.pipeline_kind, folder, device=self.device, precision=self.precision, variant=settings.variant,
            purpose=self.card.title, **given,
        )  # fmt: skip
        self._digests["base"] = pipeline_digest(folder, settings.variant)
        return pipe

    def keep_digest(self, name: str, path: Path) -> None:
        """Keep what a file beside the pipeline was, for the record."""
        self._digests[name] = sha256_of(path)

    @property
    def precision(self) -> str:
        """The kind of number that is counted with."""
        if self.settings.precision != "auto":
            return self.settings.precision
        return "float32" if self.device.startswith("cpu") else "float16"

    def called(self, request: Request, *, prompt: str | None, **given: Any) -> Pixels:
        """One frame of the request's size from the pipeline. `prompt` None where embeddings are given instead."""
        height, width = request.mask.shape
        settings = self.settings
        words = {} if prompt is None else {"prompt": prompt, "negative_prompt": settings.negative or None}
        return rendered(
            self.pipe, request.seed, where=self.card.name, height=height, width=width,
            num_inference_steps=settings.steps, guidance_scale=settings.guidance, **words, **given,
        )  # fmt: skip

    def filled(self, pixels: Pixels, request: Request, *, weights: Sequence[str] = (), **facts: Any) -> Fill:
        """A frame with everything that decided it: of all digests only those of `weights`, where it names some."""
        import torch

        diffusers = need("diffusers", "forge", self.card.title)
        transformers = need("transformers", "forge", self.card.title)
        settings = self.settings
        parameters = {
            "prompt": request.prompt or "", "negative": settings.negative, "steps": settings.steps,
            "guidance": settings.guidance, "enlarge": settings.enlarge, "seed": request.seed,
            "words_lost": words_lost(self.pipe.tokenizer, request.prompt or ""),
            "pipeline": self.pipeline_kind, "scheduler": type(self.pipe.scheduler).__name__,
            "precision": self.precision, "device": self.device,
            "weights": {name: one for name, one in self._digests.items() if not weights or name in weights},
            "versions": {
                "torch": str(torch.__version__), "diffusers": str(diffusers.__version__),
                "transformers": str(transformers.__version__),
            },
        }  # fmt: skip
        return Fill(pixels, {**parameters, **facts})


def load_pipeline(
    kind: str, folder: Path, *, device: str, precision: str, variant: str, purpose: str, **given: Any
) -> Any:
    """The saved pipeline in `folder` as the library's class `kind`; nothing is fetched and nothing unpickled."""
    import torch

    diffusers = need("diffusers", "forge", purpose)
    need("transformers", "forge", purpose)
    if not (folder / "model_index.json").is_file():
        raise BadWeights(
            "no saved pipeline", where=folder, wanted="a folder with model_index.json",
            hint="give the folder that `hf download` or save_pretrained wrote",
        )  # fmt: skip
    options: dict[str, Any] = {
        "local_files_only": True, "use_safetensors": True,
        # The library's releases before 1.0 know it by this name, the later of them with a complaint.
        "torch_dtype" if diffusers.__version__.startswith("0.") else "dtype": getattr(torch, precision),
        "variant": variant or None,
        # Loading in place needs another library; without it the library would only complain.
        "low_cpu_mem_usage": importlib.util.find_spec("accelerate") is not None,
    }  # fmt: skip
    try:
        # Networks are filled with chance before they are filled from the file.
        with torch.random.fork_rng(devices=[]), _in_silence(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch_dtype", category=FutureWarning)
            pipe = getattr(diffusers, kind).from_pretrained(str(folder), **options, **given)
    except Exception as fault:
        # The libraries have no error of their own for files that do not fit; they fail with whatever comes first.
        first = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise BadWeights(
            f"the saved pipeline cannot be loaded: {first}", where=folder, wanted=f"a {kind} in safetensors",
            hint="is the download complete? files of another kind are named by the setting `variant`",
        ) from fault  # fmt: skip
    # The library makes do without parts that it calls optional, and fails when it is asked.
    if missing := [name for name, part in pipe.components.items() if part is None and name not in _SPARED]:
        raise BadWeights(
            "the saved pipeline lacks parts", where=folder, wanted=f"a {kind} with {', '.join(missing)}",
            hint="is this the folder of another method?",
        )  # fmt: skip
    _require_whole(pipe, folder, variant)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def rendered(pipe: Any, seed: int, *, where: str, **call: Any) -> Pixels:
    """Call a pipeline for one frame, with all chance from `seed`.

    The generator is the processor's on every device, so that the first noise is the same everywhere.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    try:
        # What does not take the generator takes the global one.
        with seeded(seed, pipe.device), warnings.catch_warnings():
            # Schedulers hand tensors to numpy in a way that numpy means to give up.
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            frame = pipe(**call, generator=generator, output_type="np").images[0]
    except torch.OutOfMemoryError as fault:
        raise OutOfMemory(
            "the memory does not hold this picture", where=where, got=f"{call['width']} x {call['height']}",
            hint="use half precision, or a smaller size",
        ) from fault  # fmt: skip
    return checked_frame(np.asarray(frame), where)


@contextmanager
def seeded(seed: int, device: Any) -> Iterator[None]:
    """The global chance of the processor and of `device` comes from `seed`, and is put back afterwards."""
    import torch

    target = torch.device(device)
    devices = []
    if target.type == "cuda":
        devices = [torch.cuda.current_device() if target.index is None else target.index]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def checked_frame(frame: np.ndarray[Any, Any], where: str) -> Pixels:
    """(H, W, 3) numbers in [0, 1] -> uint8, or BadFrame where no picture came out."""
    if not np.isfinite(frame).all():
        raise BadFrame(
            "the frame holds numbers that are none", where=where,
            hint="half precision overflows in some autoencoders; set `precision` to float32",
        )  # fmt: skip
    pixels = np.rint(np.clip(frame, 0.0, 1.0) * 255.0).astype(np.uint8)
    if not pixels.any():
        raise BadFrame(
            "the frame is black all over: a filter's answer, or an overflow", where=where,
            hint="try another seed; set `precision` to float32",
        )  # fmt: skip
    return cast(Pixels, pixels)


def masked_latent(pipe: Any, request: Request) -> Tensor:
    """The latent (1, 4, h, w) of the photo with its hole black: the middle of what the encoder says, not a draw."""
    import torch

    black = np.where(request.mask[..., None], np.uint8(0), request.pixels)
    picture = torch.from_numpy(black).permute(2, 0, 1)[None].to(pipe.device, pipe.vae.dtype) / 127.5 - 1.0
    with torch.no_grad():
        middle: Tensor = pipe.vae.encode(picture).latent_dist.mode() * pipe.vae.config.scaling_factor
    return middle.to(pipe.unet.dtype)


def words_lost(tokenizer: Any, prompt: str, room: int | None = None) -> int:
    """How many tokens of a prompt do not fit in the text encoder, and are not said."""
    held: int = tokenizer.model_max_length - 2 if room is None else room
    return max(0, len(plain_tokens(tokenizer, prompt)) - held)


def plain_tokens(tokenizer: Any, text: str) -> list[int]:
    """The numbers of a text's tokens, without those of its beginning and end."""
    found: Sequence[int] = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    return list(found)


def pipeline_digest(folder: Path, variant: str = "") -> str:
    """SHA-256 over the names and bytes of what a saved pipeline is loaded from.

    Files that are not read stay out: other variants, pickles, whole checkpoints, the filter and its like.
    """
    digest = hashlib.sha256()
    for path in (folder / "model_index.json", *sorted(folder.glob("*/*"))):
        part = path.relative_to(folder).as_posix()
        if part.startswith(("safety_checker/", "feature_extractor/", ".")) or not path.is_file():
            continue
        if path.suffix == ".safetensors":
            if not _is_read(path.name, variant):
                continue
        elif path.suffix not in (".json", ".txt"):
            continue
        digest.update(f"{part} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def steps_made(steps: int, strength: float) -> int:
    """How many of the steps are left when a picture is only partly turned to noise.

    >>> steps_made(20, 0.99)
    19
    """
    return min(int(steps * strength), steps)


_OLDER = ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0."))


def _newer(name: str) -> str:
    """A tensor's name as the libraries have it now; they translate older ones while they load."""
    name = name.removeprefix("text_model.")
    for old, new in _OLDER:
        name = name.replace(old, new)
    return name


def _require_whole(pipe: Any, folder: Path, variant: str) -> None:
    """Refuse files that lack tensors: the libraries would draw those by chance, and only mention it."""
    from safetensors import safe_open
    from torch import nn

    for part, network in pipe.components.items():
        if not isinstance(network, nn.Module):
            continue
        held: set[str] = set()
        for path in sorted((folder / part).glob("*.safetensors")):
            if _is_read(path.name, variant):
                with safe_open(path, framework="pt") as file:
                    held.update(_newer(name) for name in file.keys())  # noqa: SIM118
        if missing := [name for name in network.state_dict() if _newer(name) not in held]:
            raise BadWeights(
                f"{len(missing):,} tensors are missing", where=folder / part, wanted=f"{missing[0]} among others",
                hint="get the files again from their owner",
            )  # fmt: skip


def _is_read(name: str, variant: str) -> bool:
    """Whether a file of safetensors is of the plain kind or of this variant."""
    named = _VARIANT.search(name)
    return named is None or named[1] == variant


@contextmanager
def _in_silence() -> Iterator[None]:
    """Both libraries draw bars and tell of parts that nobody asked for; what matters is checked afterwards."""
    before = []
    for name in ("diffusers.utils.logging", "transformers.utils.logging"):
        module = importlib.import_module(name)
        before.append((module, module.is_progress_bar_enabled(), module.get_verbosity()))
        module.disable_progress_bar()
        module.set_verbosity_error()
    try:
        yield
    finally:
        for module, bars, verbosity in before:
            module.set_verbosity(verbosity)
            if bars:
                module.enable_progress_bar()
