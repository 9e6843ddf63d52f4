"""What is asked of a network, by name: each objective knows how to show a batch, what may learn, and what it costs.

    objective = read_objective({"name": "selfcon"})
    teaching = Teaching(network, objective)          # what DDP wraps
    losses = objective(teaching(batch.image), batch)
    losses.total.backward()

detect-localise  verdict and mask by cross-entropy: NFA-ViT, with the paper's weights or the released code's
detect           verdict alone
localise         mask alone
place            mask by cross-entropy and dice at the network's own size, verdict: the embedded detector
classes          one of several classes, for example generator families and real
identify         the same of fakes alone: which family made it
agree            GenImage's: three copies of a picture must be judged alike (Jensen-Shannon), the first one rightly
selfcon          ImagiNet's: embeddings of an exit and of the end, fake against real and family against family
supcon           the same with the end's embeddings alone, of several augmented copies
head             a new head on a frozen network: ImagiNet's last stage
mvss             MVSS-Net's: mask and edges by dice, the verdict by cross-entropy of the largest value
trufor-mask      TruFor's second stage: dice and weighted cross-entropy
trufor-confidence  TruFor's third: how far the mask can be relied on, and the verdict
noiseprint       traces of one camera alike, of others not
own-noise        the same without knowing cameras: the quarters of one picture alike

Of every objective here the losses of a batch's micro-batches, each counted by its share of the pictures, add up to the
loss of the batch, and so do their gradients: what is taught by some rows or pixels only is divided by how many of them
the whole batch has, and what compares pictures goes through the gradient cache. That is of the loss; a network whose
batch norms are in training sees parts all the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.core.names import look_up
from fauxlens.core.settings import settings_from
from fauxlens.detectors.card import Task  # at run time: settings are read by the types of all that a class has
from fauxlens.detectors.prediction import Output
from fauxlens.train.contrast import as_one_share, contrastive, gathered, mean_over_all, trace_contrast

if TYPE_CHECKING:
    from fauxlens.train.data import Batch

OBJECTIVES: dict[str, str] = {
    "agree": "fauxlens.train.objectives:Agree",
    "classes": "fauxlens.train.objectives:Classes",
    "detect": "fauxlens.train.objectives:Detect",
    "detect-localise": "fauxlens.train.objectives:DetectLocalise",
    "head": "fauxlens.train.objectives:Head",
    "identify": "fauxlens.train.objectives:Identify",
    "localise": "fauxlens.train.objectives:Localise",
    "mvss": "fauxlens.train.objectives:Mvss",
    "noiseprint": "fauxlens.train.objectives:Noiseprint",
    "own-noise": "fauxlens.train.own_noise:OwnNoise",
    "place": "fauxlens.train.objectives:Place",
    "selfcon": "fauxlens.train.objectives:SelfCon",
    "supcon": "fauxlens.train.objectives:SupCon",
    "trufor-confidence": "fauxlens.train.objectives:TruForConfidence",
    "trufor-mask": "fauxlens.train.objectives:TruForMask",
}
"""Every objective there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown(Output):
    """An Output with what only training asks for: `embeddings` (N, V, D) of length one, `edges` (N, 1, h, w) logits."""

    embeddings: Tensor | None = None
    edges: Tensor | None = None


SHOWN = tuple(one.name for one in fields(Shown))
"""What a network may show in training, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What a batch costs: `total`, which is minimised, and its parts by name, before weighting and without a graph."""

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """One objective; its fields are its settings. A subclass gives `__call__`, and where it differs the other three."""

    whole_batch: ClassVar[bool] = False
    """Whether pictures are compared with each other: micro-batches then need the gradient cache."""
    tasks: ClassVar[tuple[Task, ...]] = ()
    """What a detector must be for, to tell what this looks at; with `localise` the samples need masks."""
    needs: ClassVar[tuple[str, ...]] = ()
    """The parts of a network that this asks for."""
    least_copies: ClassVar[int] = 1
    """How many copies of each picture there must be."""

    def check(self, network: nn.Module) -> None:
        """Complain of a network that this cannot ask; before anything is shown to it."""
        for name in self.needs:
            _part(network, name)

    @abstractmethod
    def __call__(self, output: Output, batch: Batch) -> Losses:
        """The losses of what the network said of a batch, or of a part whose losses count by `batch.share`."""

    def show(self, network: nn.Module, image: Tensor) -> Shown:
        """Ask the network about prepared pictures."""
        return shown(network(image))

    def freeze(self, network: nn.Module) -> None:  # noqa: B027 - most objectives freeze nothing
        """Switch off the gradients of what does not learn; once, before the optimiser is made."""

    def set_modes(self, network: nn.Module) -> None:
        """Put the network's parts in training or evaluation mode; before every epoch."""
        network.train()


class Teaching(nn.Module):
    """A network together with the way an objective asks it, as one module: what DDP is to wrap."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        objective.check(network)
        objective.freeze(network)

    def train(self, mode: bool = True) -> Teaching:
        """Training is what the objective takes it to be."""
        super().train(mode)
        if mode:
            self.objective.set_modes(self.network)
        return self

    def forward(self, image: Tensor) -> Shown:
        """(N, 3, H, W) prepared -> what the objective looks at."""
        return self.objective.show(self.network, image)


def read_objective(table: Mapping[str, Any], *, where: str = "objective") -> Objective:
    """The objective of a TOML table: its `name` and its settings.

    >>> read_objective({"name": "detect", "smoothing": 0.1})
    Detect(smoothing=0.1)
    """
    given = dict(table)
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise BadSetting("an objective says which it is", where=where, wanted='name = "<name>"', got=repr(name))
    found: Objective = settings_from(look_up(OBJECTIVES, name, "objective"), given, where=where)
    return found


def shown(output: Output) -> Shown:
    """An Output as one of training."""
    if isinstance(output, Shown):
        return output
    return Shown(**{one.name: getattr(output, one.name) for one in fields(Output)})


@dataclass(frozen=True, kw_only=True)
class Detect(Objective):
    """Cross-entropy of the verdict; `smoothing` as of two classes: 0.1 makes targets of 0.05 and 0.95."""

    tasks: ClassVar[tuple[Task, ...]] = ("detect",)
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        _in_range("smoothing", self.smoothing, 0, 1)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """The mean over the batch."""
        return _losses(verdict=(1.0, verdict_loss(_told(output, "logit"), batch.label, self.smoothing)))


@dataclass(frozen=True, kw_only=True)
class Localise(Objective):
    """Cross-entropy of the mask."""

    tasks: ClassVar[tuple[Task, ...]] = ("localise",)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """The mean over all pixels of the batch."""
        return _losses(mask=(1.0, mask_loss(_told(output, "mask"), masks_of(batch))))


@dataclass(frozen=True, kw_only=True)
class DetectLocalise(Objective):
    """Cross-entropy of mask and verdict. `weights`: "paper" (both alike), "published" (1 and one half) or two numbers.

    The paper says that both count alike, the released code halves the verdict.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("detect", "localise")
    weights: Literal["paper", "published"] | tuple[float, float] = "published"

    def __post_init__(self) -> None:
        if isinstance(self.weights, tuple):
            for weight in self.weights:
                _in_range("weights", weight, 0, 1e6)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """Both, as means."""
        mask, verdict = MASK_AND_VERDICT[self.weights] if isinstance(self.weights, str) else self.weights
        return _losses(
            mask=(mask, mask_loss(_told(output, "mask"), masks_of(batch))),
            verdict=(verdict, verdict_loss(_told(output, "logit"), batch.label)),
        )


@dataclass(frozen=True, kw_only=True)
class Place(Objective):
    """Cross-entropy and dice of the mask, cross-entropy of the verdict; the truth is shrunk to the network's mask.

    Dice is learnt from pictures with something forged in them: of an empty mask it punishes any probability at all.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("detect", "localise")
    dice_weight: float = 0.5
    verdict_weight: float = 0.5

    def __post_init__(self) -> None:
        for name in ("dice_weight", "verdict_weight"):
            _in_range(name, getattr(self, name), 0, 1e6)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """All three, as means."""
        mask = _told(output, "mask")
        side = mask.shape[-2], mask.shape[-1]
        truth = F.adaptive_avg_pool2d(masks_of(batch), side)

        def forged(one: Batch) -> Tensor:
            return F.adaptive_avg_pool2d(masks_of(one), side).flatten(1).amax(dim=1) > 0.5

        return _losses(
            mask=(1.0, mask_loss(mask, truth)),
            dice=(self.dice_weight, _taught_mean(dice(mask, truth), batch, forged) + 0.0 * mask.sum()),
            verdict=(self.verdict_weight, verdict_loss(_told(output, "logit"), batch.label)),
        )


MASK_AND_VERDICT: dict[str, tuple[float, float]] = {"paper": (1.0, 1.0), "published": (1.0, 0.5)}
"""NFA-ViT's weights of mask and verdict."""


@dataclass(frozen=True, kw_only=True)
class Classes(Objective):
    """Cross-entropy of several classes; rows without a class (-1) teach nothing."""

    tasks: ClassVar[tuple[Task, ...]] = ("identify",)
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        _in_range("smoothing", self.smoothing, 0, 1)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """The mean over the rows that have a class, in all processes."""
        return _losses(classes=(1.0, self._loss(output, batch, lambda one: one.target >= 0)))

    def _loss(self, output: Output, batch: Batch, rows: Callable[[Batch], Tensor]) -> Tensor:
        scores, taught = _told(output, "generators").float(), rows(batch)
        if bool(taught.any()) and int(batch.target.max()) >= scores.shape[1]:
            raise BadShape("more classes than outputs", wanted=f"classes 0 to {scores.shape[1] - 1}",
                           got=int(batch.target.max()))  # fmt: skip
        each = F.cross_entropy(scores[taught], batch.target[taught], reduction="none", label_smoothing=self.smoothing)
        # With no row at all the sum is 0, but still part of the graph.
        return mean_over_all(each, whole=rows(batch.whole).sum(), share=batch.share) + 0.0 * scores.sum()


@dataclass(frozen=True, kw_only=True)
class Identify(Classes):
    """Which family of generators made it: cross-entropy over fakes alone."""

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """The mean over the fakes that have a class, in all processes."""
        return _losses(classes=(1.0, self._loss(output, batch, lambda one: (one.target >= 0) & (one.label > 0.5))))


@dataclass(frozen=True, kw_only=True)
class Agree(Objective):
    """Smoothed cross-entropy of the first copy, and `weight` times the Jensen-Shannon divergence between all copies."""

    tasks: ClassVar[tuple[Task, ...]] = ("detect",)
    least_copies: ClassVar[int] = 2
    smoothing: float = 0.1
    weight: float = 12.0

    def __post_init__(self) -> None:
        _in_range("smoothing", self.smoothing, 0, 1)
        _in_range("weight", self.weight, 0, 1e6)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """Both, as means over pictures."""
        if batch.copies < self.least_copies:
            raise BadSetting("one copy has nothing to agree with", wanted="copies = 2 or more", got=batch.copies)
        logit = _told(output, "logit").float().reshape(batch.copies, len(batch))
        return _losses(
            verdict=(1.0, verdict_loss(logit[0], batch.label, self.smoothing)),
            disagreement=(self.weight, jensen_shannon(logit)),
        )


@dataclass(frozen=True, kw_only=True)
class SelfCon(Objective):
    """ImagiNet's contrast of exit and end: real against fake among all, family against family (`target`) among fakes.

    The network's `classifier` takes no part. `unsupervised` knows no labels: each picture is a class of its own.
    """

    whole_batch: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("embeddings",)
    temperature: float = 0.07
    base: float = 0.07
    origin_weight: float = 1.0
    group_weight: float = 1.0
    unsupervised: bool = False

    def __post_init__(self) -> None:
        for name in ("temperature", "base"):
            _in_range(name, getattr(self, name), 1e-6, 1e6)
        for name in ("origin_weight", "group_weight"):
            _in_range(name, getattr(self, name), 0, 1e6)

    def show(self, network: nn.Module, image: Tensor) -> Shown:
        """The embeddings of exit and end side by side."""
        return Shown(embeddings=torch.stack(_embeddings(network, image), dim=1))

    def freeze(self, network: nn.Module) -> None:
        """The head for verdicts learns later."""
        _freeze(network, "classifier")

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """Both contrasts over the global batch."""
        views = gathered(views_of(output, batch))
        fake, group = gathered(batch.label) > 0.5, gathered(batch.target)
        options = {"temperature": self.temperature, "base": self.base}
        if self.unsupervised:
            each = torch.arange(len(views), device=views.device)
            return _losses(contrast=(1.0, as_one_share(contrastive(views, each, **options))))
        known = fake & (group >= 0)
        return _losses(
            origin=(self.origin_weight, as_one_share(contrastive(views, fake.long(), **options))),
            group=(self.group_weight, as_one_share(contrastive(views[known], group[known], **options))),
        )


@dataclass(frozen=True, kw_only=True)
class SupCon(SelfCon):
    """The same contrasts with the end's embeddings alone: its views are the augmented copies of a picture."""

    needs: ClassVar[tuple[str, ...]] = ()

    def show(self, network: nn.Module, image: Tensor) -> Shown:
        """The embedding of the end; of a network that has none, its features at length one."""
        if hasattr(network, "embeddings"):
            return Shown(embeddings=_embeddings(network, image)[1][:, None])
        return Shown(embeddings=F.normalize(_told(network(image), "features"), dim=1)[:, None])

    def freeze(self, network: nn.Module) -> None:
        """Neither the head for verdicts nor the exit takes part."""
        _freeze(network, "classifier", "sub_heads", "encoder.selfcon_layer")


@dataclass(frozen=True, kw_only=True)
class Head(Detect):
    """A head on frozen features: ImagiNet's last stage, which its authors call calibration.

    All but `classifier` is frozen and in evaluation mode, except that with `running_norms` the 2-d batch norms use and
    update batch statistics, as the released weights' do: they drift towards the pictures of this stage. With `classes`
    above 1 the head tells families of fakes apart.
    """

    tasks: ClassVar[tuple[Task, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("encoder", "classifier")
    running_norms: bool = True
    classes: int = 1

    def show(self, network: nn.Module, image: Tensor) -> Shown:
        """Features without a graph, the head with one."""
        encoder, classifier = _part(network, "encoder"), _part(network, "classifier")
        with torch.no_grad():
            features = encoder.pooled(image)
        scores = classifier(features)
        return Shown(logit=scores[:, 0], features=features) if scores.shape[1] == 1 else Shown(generators=scores)

    def freeze(self, network: nn.Module) -> None:
        """All but the head."""
        network.requires_grad_(False)
        _part(network, "classifier").requires_grad_(True)

    def set_modes(self, network: nn.Module) -> None:
        """The head learns; the rest is judged, but for its batch norms."""
        network.eval()
        _part(network, "classifier").train()
        if self.running_norms:
            for module in _part(network, "encoder").modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.train()

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """The verdict's loss, or that of the families."""
        if self.classes > 1:
            return Identify(smoothing=self.smoothing)(output, batch)
        return super().__call__(output, batch)


@dataclass(frozen=True, kw_only=True)
class Mvss(Objective):
    """MVSS-Net's three: dice of the mask, cross-entropy of its largest value, dice of the edges.

    Edges are a band `edge_width` pixels wide around the border of the mask. With `forged_only` masks and edges are
    learnt from forged pictures alone, since dice of an empty mask punishes any probability at all.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("detect", "localise")
    mask_weight: float = 0.16
    verdict_weight: float = 0.04
    edge_weight: float = 0.8
    edge_width: int = 7
    forged_only: bool = True

    def __post_init__(self) -> None:
        for name in ("mask_weight", "verdict_weight", "edge_weight"):
            _in_range(name, getattr(self, name), 0, 1e6)
        if self.edge_width < 3 or self.edge_width % 2 == 0:
            raise BadSetting("edge_width is an odd number of pixels", wanted="3, 5, 7, ...", got=self.edge_width)

    def check(self, network: nn.Module) -> None:
        """There must be edges."""
        if not hasattr(network, "edges"):
            raise BadSetting(
                "this network has no edges to learn", got=type(network).__name__, hint="take `detect-localise`"
            )

    def show(self, network: nn.Module, image: Tensor) -> Shown:
        """Edges and mask; the verdict is the mask's largest value."""
        edges, mask = network.maps(image)  # type: ignore[operator]
        return Shown(logit=mask.amax(dim=(1, 2, 3)), mask=mask, edges=edges)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """The three of them."""
        mask, edges, truth = _told(output, "mask"), _told(output, "edges"), masks_of(batch)
        border = edge_band(truth, self.edge_width)
        border = F.adaptive_max_pool2d(border, edges.shape[-2:])

        def taught(one: Batch) -> Tensor:
            return one.label > 0.5 if self.forged_only else torch.ones_like(one.label, dtype=torch.bool)

        return _losses(
            mask=(self.mask_weight, _taught_mean(dice(mask, truth), batch, taught)),
            verdict=(self.verdict_weight, verdict_loss(_told(output, "logit"), batch.label)),
            edge=(self.edge_weight, _taught_mean(dice(edges, border), batch, taught)),
        )


@dataclass(frozen=True, kw_only=True)
class TruForMask(Objective):
    """TruFor's mask stage: dice plus cross-entropy in which pixels of each class have a weight.

    How the two are weighed against each other is not known to us: alike unless told otherwise.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("localise",)
    dice_weight: float = 1.0
    entropy_weight: float = 1.0
    real_weight: float = 0.5
    forged_weight: float = 2.5

    def __post_init__(self) -> None:
        for one in fields(self):
            _in_range(one.name, getattr(self, one.name), 0, 1e6)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """Both."""
        mask, truth = _told(output, "mask").float(), masks_of(batch)
        each = F.binary_cross_entropy_with_logits(mask, truth, reduction="none")
        whole = self._weight(masks_of(batch.whole)).sum()
        entropy = mean_over_all(each, self._weight(truth), whole=whole, share=batch.share)
        return _losses(dice=(self.dice_weight, dice(mask, truth).mean()), entropy=(self.entropy_weight, entropy))

    def _weight(self, truth: Tensor) -> Tensor:
        return torch.where(truth > 0.5, self.forged_weight, self.real_weight)


@dataclass(frozen=True, kw_only=True)
class TruForConfidence(Objective):
    """TruFor's last stage: the confidence is to be the probability that the mask gives the true class, and the verdict.

    Only the parts named in `learns` do; the rest is frozen and in evaluation mode.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("detect", "localise")
    verdict_weight: float = 0.5
    learns: tuple[str, ...] = ("decode_head_conf", "detection")

    def __post_init__(self) -> None:
        _in_range("verdict_weight", self.verdict_weight, 0, 1e6)

    def freeze(self, network: nn.Module) -> None:
        """All but what learns."""
        network.requires_grad_(False)
        for name in self.learns:
            _part(network, name).requires_grad_(True)

    def set_modes(self, network: nn.Module) -> None:
        """The rest is judged as it is."""
        network.eval()
        for name in self.learns:
            _part(network, name).train()

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """Both."""
        mask, truth = _told(output, "mask").detach().float().sigmoid(), masks_of(batch)
        right = torch.where(truth > 0.5, mask, 1 - mask)
        confidence = _told(output, "confidence").float().sigmoid()
        return _losses(
            confidence=(1.0, F.mse_loss(confidence, right)),
            verdict=(self.verdict_weight, verdict_loss(_told(output, "logit"), batch.label)),
        )


@dataclass(frozen=True, kw_only=True)
class Noiseprint(Objective):
    """Traces of one group (`target`: a camera, a place in the picture, a history) alike, of others not.

    For this, rows of a group must share their augmentation (`seed_by`), so that they show the same place.
    """

    whole_batch: ClassVar[bool] = True
    tasks: ClassVar[tuple[Task, ...]] = ("trace",)
    flatness: float = 0.0

    def __post_init__(self) -> None:
        _in_range("flatness", self.flatness, 0, 1e6)

    def __call__(self, output: Output, batch: Batch) -> Losses:
        """One loss over the global batch."""
        traces, group = gathered(_told(output, "trace")), gathered(batch.target)
        return _losses(trace=(1.0, as_one_share(trace_contrast(traces, group, flatness=self.flatness))))


def verdict_loss(logit: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean binary cross-entropy of logits (N,) and labels (N,) of 0 and 1, in float32.

    >>> round(float(verdict_loss(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]))), 4)
    0.6931
    """
    if logit.shape != label.shape:
        raise BadShape("one verdict a picture", wanted=tuple(label.shape), got=tuple(logit.shape))
    return F.binary_cross_entropy_with_logits(logit.float(), label.float() * (1 - smoothing) + smoothing / 2)


def mask_loss(mask: Tensor, truth: Tensor) -> Tensor:
    """Mean binary cross-entropy of mask logits and the true mask, both (N, 1, H, W), in float32."""
    _same_size(mask, truth)
    return F.binary_cross_entropy_with_logits(mask.float(), truth)


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """(N, 1, H, W) logits and masks -> (N,): 1 - 2 sum(p t) / (sum p^2 + sum t^2) of each picture.

    >>> round(float(dice(torch.full((1, 1, 1, 2), 50.0), torch.tensor([[[[1.0, 0.0]]]]))), 4)
    0.3333
    """
    _same_size(logits, truth)
    found, true = logits.float().sigmoid().flatten(1), truth.flatten(1)
    both = found.square().sum(dim=1) + true.square().sum(dim=1)
    return 1 - 2 * (found * true).sum(dim=1) / both.clamp_min(1e-6)


def edge_band(mask: Tensor, width: int) -> Tensor:
    """(N, 1, H, W) of 0 and 1 -> the same: 1 within (width - 1) / 2 pixels of where the mask changes."""
    grown = F.max_pool2d(mask, width, 1, width // 2)
    shrunk = -F.max_pool2d(-mask, width, 1, width // 2)
    return grown - shrunk


def jensen_shannon(logits: Tensor) -> Tensor:
    """(S, N) logits of S copies -> the mean divergence of the copies' two probabilities from their average."""
    fake = logits.float().sigmoid()
    shares = torch.stack((1 - fake, fake), dim=-1)
    logs = torch.stack((F.logsigmoid(-logits.float()), F.logsigmoid(logits.float())), dim=-1)
    mean = shares.mean(dim=0).clamp(1e-7, 1.0).log()
    return (shares * (logs - mean)).sum(dim=-1).mean()


def views_of(output: Output, batch: Batch) -> Tensor:
    """(N, V, D): the embeddings of all views of all copies of each picture."""
    found = _told(output, "embeddings")
    return found.reshape(batch.copies, len(batch), *found.shape[1:]).transpose(0, 1).flatten(1, 2)


def masks_of(batch: Batch) -> Tensor:
    """The true masks of a batch."""
    if batch.mask is None:
        raise BadSetting("this objective learns from masks", got="samples without", hint="set `masks = true`")
    return batch.mask


def _taught_mean(each: Tensor, batch: Batch, taught: Callable[[Batch], Tensor]) -> Tensor:
    """The mean of `each` (N,) over the pictures that `taught` picks, of which the whole batch is asked as well."""
    return mean_over_all(each[taught(batch)], whole=taught(batch.whole).sum(), share=batch.share)


def _losses(**parts: tuple[float, Tensor]) -> Losses:
    total = torch.stack([weight * loss for weight, loss in parts.values()]).sum()
    return Losses(total, {name: loss.detach() for name, (_, loss) in parts.items()})


def _told(output: Output, name: str) -> Tensor:
    found: Tensor | None = getattr(output, name, None)
    if found is None:
        tells = ", ".join(one for one in SHOWN if getattr(output, one, None) is not None) or "nothing"
        raise BadSetting(
            f"this network tells no {name}", wanted=name, got=tells, hint="take an objective that fits the network"
        )
    return found


def _part(network: nn.Module, name: str) -> Any:
    found = getattr(network, name, None)
    if found is None:
        raise BadSetting(
            f"this network has no part called '{name}'",
            got=f"{type(network).__name__} with {', '.join(name for name, _ in network.named_children())}",
            hint="take an objective that fits the network",
        )
    return found


def _embeddings(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = _part(network, "embeddings")(image)
    return found


def _freeze(network: nn.Module, *names: str) -> None:
    there_are = dict(network.named_modules())
    for name in names:
        if name in there_are:
            there_are[name].requires_grad_(False)


def _same_size(found: Tensor, truth: Tensor) -> None:
    if found.shape != truth.shape:
        raise BadShape("maps of different sizes", wanted=tuple(truth.shape), got=tuple(found.shape))


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadSetting(f"{name} is out of range", wanted=f"{low:g} to {high:g}", got=value)
