from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape, UnknownName
from fauxlens.core.names import look_up
from fauxlens.detectors.mvss_net import MvssNet
from fauxlens.detectors.prediction import Output
from fauxlens.train.contrast import contrastive, spectral_flatness, trace_contrast
from fauxlens.train.data import Batch
from fauxlens.train.gradient_cache import cached_backward
from fauxlens.train.objectives import (
    OBJECTIVES,
    Agree,
    Classes,
    Detect,
    DetectLocalise,
    Head,
    Identify,
    Mvss,
    Noiseprint,
    Objective,
    SelfCon,
    Shown,
    SupCon,
    Teaching,
    TruForConfidence,
    TruForMask,
    dice,
    edge_band,
    jensen_shannon,
    read_objective,
)

ORIGIN = torch.tensor([0, 1, 1, 0, 1, 1])
GROUP = torch.tensor([4, 0, 1, 4, 2, 0])


def batch_of(
    label: Tensor, target: Tensor | None = None, mask: Tensor | None = None, *, copies: int = 1, size: int = 8
) -> Batch:
    count = len(label)
    torch.manual_seed(1)
    image = torch.randn(copies * count, 3, size, size)
    target = label.long() if target is None else target
    return Batch(image, mask, label.float(), target, tuple(str(one) for one in range(count)), copies)


def parity_views() -> Tensor:
    place = torch.arange(6.0)[:, None, None] + 2 * torch.arange(2.0)[None, :, None] + 0.5 * torch.arange(4.0)
    return F.normalize(torch.sin(1 + place), dim=2)


# --- contrast ---------------------------------------------------------------------------------------------------


def test_selfcon_meets_the_recorded_vector() -> None:
    views = parity_views()
    fake = ORIGIN == 1
    assert float(contrastive(views, ORIGIN)) == pytest.approx(17.135653, abs=1e-4)
    assert float(contrastive(views[fake], GROUP[fake])) == pytest.approx(15.997498, abs=1e-4)
    assert float(contrastive(views, torch.arange(6))) == pytest.approx(19.981668, abs=1e-4)
    losses = SelfCon()(Shown(embeddings=views), batch_of(ORIGIN, GROUP))
    assert float(losses.total) == pytest.approx(33.133151, abs=1e-4)
    assert {name: round(float(part), 4) for name, part in losses.parts.items()} == {"origin": 17.1357, "group": 15.9975}
    alone = SelfCon(unsupervised=True)(Shown(embeddings=views), batch_of(ORIGIN, GROUP))
    assert float(alone.total) == pytest.approx(19.981668, abs=1e-4)


def by_hand(views: np.ndarray, label: list[int], temperature: float) -> float:
    """The formula, one anchor after the other, in double precision."""
    pooled = [(label[i], views[i, v]) for i in range(len(label)) for v in range(views.shape[1])]
    losses = []
    for i, (mine, anchor) in enumerate(pooled):
        others = [(kind, float(anchor @ other)) for j, (kind, other) in enumerate(pooled) if j != i]
        bottom = math.log(sum(math.exp(near / temperature) for _, near in others))
        positives = [near / temperature - bottom for kind, near in others if kind == mine]
        if positives:
            losses.append(-sum(positives) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("views", [1, 3])
def test_contrast_is_the_formula(views: int) -> None:
    torch.manual_seed(0)
    embeddings = F.normalize(torch.randn(5, views, 6), dim=2)
    label = [0, 1, 0, 1, 2]  # with one view the last picture has no positive
    expected = by_hand(embeddings.double().numpy(), label, 0.3)
    assert float(contrastive(embeddings, torch.tensor(label), temperature=0.3, base=0.3)) == pytest.approx(
        expected, abs=1e-5
    )
    halved = float(contrastive(embeddings, torch.tensor(label), temperature=0.3, base=0.6))
    assert halved == pytest.approx(expected / 2, abs=1e-5)


def test_contrast_gradient_is_right() -> None:
    torch.manual_seed(0)
    raw = torch.randn(3, 2, 3, requires_grad=True)
    label = torch.tensor([0, 1, 0])
    contrastive(F.normalize(raw, dim=2), label, temperature=0.5).backward()
    assert raw.grad is not None
    views = raw.detach().double()
    for place in ((0, 0, 1), (1, 1, 2), (2, 0, 0)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = views.clone()
            moved[place] += step
            unit = (moved / moved.norm(dim=2, keepdim=True)).numpy()
            ends.append(by_hand(unit, label.tolist(), 0.5) * 0.5 / 0.07)
        assert float(raw.grad[place]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-4)


def test_contrast_without_positives_is_nothing_with_a_graph() -> None:
    embeddings = torch.randn(2, 1, 4, requires_grad=True)
    loss = contrastive(embeddings, torch.tensor([0, 1]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()
    no_fakes = SelfCon()(Shown(embeddings=parity_views()), batch_of(torch.zeros(6), torch.full((6,), -1)))
    assert float(no_fakes.parts["group"]) == 0
    assert math.isfinite(float(no_fakes.total))
    with pytest.raises(BadShape, match="contrast compares views"):
        contrastive(torch.randn(4, 3), torch.zeros(4))


def test_traces_alike_and_others() -> None:
    traces = torch.tensor([[0.0, 0.0], [0.5, 0.0], [2.0, 0.0]]).reshape(3, 1, 1, 2)
    group = torch.tensor([0, 0, 1])
    # Anchors are the first two; the third is alone in its group.
    first = -math.log(math.exp(-0.25) / (math.exp(-0.25) + math.exp(-4)))
    second = -math.log(math.exp(-0.25) / (math.exp(-0.25) + math.exp(-2.25)))
    assert float(trace_contrast(traces, group)) == pytest.approx((first + second) / 2, abs=1e-5)
    assert float(trace_contrast(traces, torch.tensor([0, -1, -1]))) == 0
    torch.manual_seed(0)
    noise, smooth = torch.randn(8, 1, 16, 16), torch.ones(8, 1, 16, 16)
    assert float(spectral_flatness(smooth)) < -5 < float(spectral_flatness(noise)) < 0
    rewarded = trace_contrast(noise, torch.arange(8) // 2, flatness=2.0) - trace_contrast(noise, torch.arange(8) // 2)
    assert float(rewarded) == pytest.approx(-2 * float(spectral_flatness(noise)), abs=1e-3)
    losses = Noiseprint()(Output(trace=traces), batch_of(torch.zeros(3), group))
    assert float(losses.total) == pytest.approx((first + second) / 2, abs=1e-5)


# --- cross-entropy, masks, edges --------------------------------------------------------------------------------


def test_contrast_is_as_exact_under_autocast() -> None:
    chance = torch.Generator().manual_seed(3)
    views = F.normalize(torch.randn(12, 2, 32, generator=chance), dim=-1)
    traces = 4 + 0.05 * torch.randn(6, 1, 16, 16, generator=chance)
    label, group = torch.arange(12) % 3, torch.tensor([0, 0, 1, 1, 2, 2])
    exact = contrastive(views, label), trace_contrast(traces, group)
    with torch.autocast("cpu", torch.bfloat16):
        under = contrastive(views, label), trace_contrast(traces, group)
    assert [float(one) for one in under] == pytest.approx([float(one) for one in exact], rel=1e-6)


def test_verdict_and_mask_with_the_weights_of_paper_and_code() -> None:
    logit, label = torch.tensor([0.3, -1.2]), torch.tensor([1.0, 0.0])
    truth = torch.zeros(2, 1, 2, 2)
    truth[0, 0, 0] = 1
    mask = torch.linspace(-1, 1, 8).reshape(2, 1, 2, 2)
    verdict = (math.log1p(math.exp(-0.3)) + math.log1p(math.exp(-1.2))) / 2
    pixels = [
        math.log1p(math.exp(-m if t else m))
        for m, t in zip(mask.flatten().tolist(), truth.flatten().tolist(), strict=True)
    ]
    batch = batch_of(label, mask=truth)
    for weights, share in (("paper", 1.0), ("published", 0.5), ((1.0, 0.25), 0.25)):
        losses = DetectLocalise(weights=weights)(Output(logit=logit, mask=mask), batch)  # type: ignore[arg-type]
        assert float(losses.total) == pytest.approx(sum(pixels) / 8 + share * verdict, abs=1e-6)
        assert float(losses.parts["verdict"]) == pytest.approx(verdict, abs=1e-6)
    assert float(Detect()(Output(logit=logit), batch).total) == pytest.approx(verdict, abs=1e-6)


def test_smoothing_is_that_of_two_classes() -> None:
    logit, label = torch.tensor([0.7, -0.4, 2.0]), torch.tensor([1, 0, 0])
    two = torch.stack((torch.zeros(3), logit), dim=1)
    expected = F.cross_entropy(two, label, label_smoothing=0.1)
    found = Detect(smoothing=0.1)(Output(logit=logit), batch_of(label)).total
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_classes_and_fakes_alone() -> None:
    torch.manual_seed(0)
    scores, target, label = torch.randn(5, 3), torch.tensor([0, 2, -1, 1, 0]), torch.tensor([1, 1, 1, 0, 0])
    batch = batch_of(label, target)
    known = [0, 1, 3, 4]
    expected = F.nll_loss(scores[known].log_softmax(1), target[known])
    assert float(Classes()(Output(generators=scores), batch).total) == pytest.approx(float(expected), abs=1e-6)
    fakes = F.nll_loss(scores[:2].log_softmax(1), target[:2])
    assert float(Identify()(Output(generators=scores), batch).total) == pytest.approx(float(fakes), abs=1e-6)
    nobody = Identify()(Output(generators=scores.requires_grad_()), batch_of(torch.zeros(5), target))
    nobody.total.backward()
    assert float(nobody.total.detach()) == 0
    with pytest.raises(BadShape, match="more classes than outputs"):
        Classes()(Output(generators=scores[:, :2]), batch)


def test_copies_must_agree() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, 2.0], [-1.0, 2.0]])
    # The second picture's copies agree.
    fake = [1 / (1 + math.exp(-one)) for one in (0.0, 1.0, -1.0)]
    mean = sum(fake) / 3
    divergence = sum(p * math.log(p / mean) + (1 - p) * math.log((1 - p) / (1 - mean)) for p in fake) / 3
    assert float(jensen_shannon(logits)) == pytest.approx(divergence / 2, abs=1e-6)
    label = torch.tensor([1.0, 0.0])
    losses = Agree()(Output(logit=logits.flatten()), batch_of(label, copies=3))
    clean = Detect(smoothing=0.1)(Output(logit=logits[0]), batch_of(label)).total
    assert float(losses.total) == pytest.approx(float(clean) + 12 * divergence / 2, abs=1e-5)
    with pytest.raises(BadSetting, match="one copy has nothing to agree with"):
        Agree()(Output(logit=logits[0]), batch_of(label))


def test_dice_and_edges_by_hand() -> None:
    logits = torch.tensor([0.0, math.log(3)]).reshape(1, 1, 1, 2)  # probabilities 1/2 and 3/4
    truth = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    assert float(dice(logits, truth)) == pytest.approx(1 - 1.5 / (0.25 + 0.5625 + 1), abs=1e-6)
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., :, 5:] = 1
    band = edge_band(mask, 3)[0, 0]
    assert band[4].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert not edge_band(torch.ones(1, 1, 5, 5), 3).any()


def test_mvss_sums_its_three_and_learns_edges_of_forgeries_alone() -> None:
    torch.manual_seed(0)
    truth = torch.zeros(2, 1, 16, 16)
    truth[0, :, 4:12, 4:12] = 1
    mask, edges, logit = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 4, 4), torch.randn(2)
    batch = batch_of(torch.tensor([1.0, 0.0]), mask=truth)
    losses = Mvss()(Shown(logit=logit, mask=mask, edges=edges), batch)
    border = F.adaptive_max_pool2d(edge_band(truth, 7), (4, 4))
    verdict = F.binary_cross_entropy_with_logits(logit, batch.label)
    expected = 0.16 * dice(mask, truth)[0] + 0.04 * verdict + 0.8 * dice(edges, border)[0]
    assert float(losses.total) == pytest.approx(float(expected), abs=1e-6)
    everywhere = Mvss(forged_only=False)(Shown(logit=logit, mask=mask, edges=edges), batch)
    assert float(everywhere.parts["edge"]) == pytest.approx(float(dice(edges, border).mean()), abs=1e-6)
    with pytest.raises(BadSetting, match="odd number"):
        Mvss(edge_width=6)


def test_mvss_asks_a_network_for_its_edges() -> None:
    class Small(MvssNet):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.one = nn.Conv2d(3, 1, 1)

        def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
            found = self.one(image)
            return F.avg_pool2d(found, 4), found

    found = Teaching(Small(), Mvss())(torch.randn(2, 3, 8, 8))
    assert found.edges is not None
    assert found.edges.shape == (2, 1, 2, 2)
    assert found.mask is not None
    assert found.logit is not None
    assert found.logit.tolist() == found.mask.amax(dim=(1, 2, 3)).tolist()
    with pytest.raises(BadSetting, match="no edges to learn"):
        Teaching(nn.Conv2d(3, 1, 1), Mvss())(torch.randn(2, 3, 8, 8))


def test_trufor_mask_and_confidence() -> None:
    truth = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    mask = torch.tensor([math.log(3), 0.0]).reshape(1, 1, 1, 2).requires_grad_()  # 3/4 and 1/2
    batch = batch_of(torch.tensor([1.0]), mask=truth)
    entropy = (2.5 * -math.log(0.75) + 0.5 * -math.log(0.5)) / 3
    expected = 1 - 1.5 / (0.5625 + 0.25 + 1) + entropy
    assert float(TruForMask()(Output(mask=mask), batch).total.detach()) == pytest.approx(expected, abs=1e-6)
    confidence = torch.zeros(1, 1, 1, 2, requires_grad=True)  # 1/2 everywhere
    output = Output(logit=torch.zeros(1), mask=mask, confidence=confidence)
    losses = TruForConfidence()(output, batch)
    assert float(losses.total.detach()) == pytest.approx((0.25**2 + 0) / 2 + 0.5 * math.log(2), abs=1e-6)
    losses.total.backward()
    assert mask.grad is None  # the confidence follows the mask, never the other way round
    assert confidence.grad is not None


# --- what is shown, frozen and in which mode --------------------------------------------------------------------


class Trunk(nn.Module):
    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6) if norm else nn.GroupNorm(2, 6), nn.ReLU())

    def pooled(self, image: Tensor) -> Tensor:
        found: Tensor = self.layers(image).mean(dim=(2, 3))
        return found


class Contrasting(nn.Module):
    """As small as can be with the parts of ImagiNet's network."""

    def __init__(self, *, norm: bool = False, drop: float = 0.0, outputs: int = 1) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.encoder = Trunk(norm)
        self.drop = nn.Dropout(drop)
        self.head, self.sub_heads = nn.Linear(6, 4), nn.ModuleList((nn.Linear(6, 4),))
        self.classifier = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, outputs))

    def embeddings(self, image: Tensor) -> tuple[Tensor, Tensor]:
        found = self.drop(self.encoder.pooled(image))
        return F.normalize(self.sub_heads[0](found), dim=1), F.normalize(self.head(found), dim=1)

    def forward(self, image: Tensor) -> Output:
        features = self.encoder.pooled(image)
        return Output(logit=self.classifier(features)[:, 0], features=features)


def grads(module: nn.Module) -> dict[str, Tensor]:
    return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


def test_selfcon_shows_exit_and_end_and_leaves_the_classifier_alone() -> None:
    network = Contrasting()
    teaching = Teaching(network, SelfCon()).train()
    batch = batch_of(ORIGIN, GROUP)
    found = teaching(batch.image)
    assert found.embeddings is not None
    assert found.embeddings.shape == (6, 2, 4)
    assert torch.equal(found.embeddings[:, 0], network.embeddings(batch.image)[0])
    SelfCon()(found, batch).total.backward()
    learnt = set(grads(network))
    assert {name.partition(".")[0] for name in learnt} == {"encoder", "head", "sub_heads"}


def test_supcon_takes_the_end_of_every_copy() -> None:
    network = Contrasting()
    teaching = Teaching(network, SupCon()).train()
    batch = batch_of(ORIGIN, GROUP, copies=2)
    losses = SupCon()(teaching(batch.image), batch)
    ends = network.embeddings(batch.image)[1]
    views = torch.stack((ends[:6], ends[6:]), dim=1)
    fake = ORIGIN == 1
    expected = contrastive(views, ORIGIN) + contrastive(views[fake], GROUP[fake])
    assert float(losses.total.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
    losses.total.backward()
    assert {name.partition(".")[0] for name in grads(network)} == {"encoder", "head"}


@pytest.mark.parametrize("running", [True, False])
def test_head_stage_freezes_all_but_the_head(running: bool) -> None:
    network = Contrasting(norm=True)
    objective = Head(running_norms=running)
    teaching = Teaching(network, objective).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = batch_of(ORIGIN)
    losses = objective(teaching(batch.image), batch)
    losses.total.backward()
    assert {name.partition(".")[0] for name in grads(network)} == {"classifier"}
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    drifted = {name for name in moved if name.startswith("encoder.")}
    assert drifted == (
        {f"encoder.layers.1.{one}" for one in ("running_mean", "running_var", "num_batches_tracked")}
        if running
        else set()
    )
    assert not network.drop.training
    assert not teaching.eval().network.classifier.training


def test_head_of_families() -> None:
    network = Contrasting(outputs=4)
    objective = Head(classes=4)
    batch = batch_of(ORIGIN, torch.tensor([-1, 0, 1, -1, 2, 0]))
    found = Teaching(network, objective).eval()(batch.image)
    fakes = ORIGIN == 1
    assert found.generators is not None
    expected = F.cross_entropy(found.generators[fakes], batch.target[fakes])
    assert float(objective(found, batch).total.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)


def test_the_last_stage_of_trufor_trains_two_parts() -> None:
    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1))
            self.decode_head_conf, self.detection = nn.Conv2d(1, 1, 1), nn.Linear(1, 1)

        def forward(self, image: Tensor) -> Output:
            mask = self.backbone(image)
            verdict = self.detection(mask.mean(dim=(2, 3)))[:, 0]
            return Output(logit=verdict, mask=mask, confidence=self.decode_head_conf(mask))

    network, objective = Three(), TruForConfidence()
    teaching = Teaching(network, objective).train()
    batch = batch_of(ORIGIN, mask=torch.zeros(6, 1, 8, 8))
    objective(teaching(batch.image), batch).total.backward()
    assert {name.partition(".")[0] for name in grads(network)} == {"decode_head_conf", "detection"}
    assert not network.backbone[1].training
    assert network.detection.training


# --- the gradient cache -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [SelfCon(), SupCon(), SelfCon(unsupervised=True)])
@pytest.mark.parametrize("size", [1, 4, 6])
def test_gradient_cache_is_the_full_batch_without_batch_norm(objective: Objective, size: int) -> None:
    batch = batch_of(ORIGIN, GROUP, copies=2)
    whole, parts = Teaching(Contrasting(), objective).train(), Teaching(Contrasting(), objective).train()
    expected = objective(whole(batch.image), batch)
    expected.total.backward()
    found = cached_backward(parts, batch, objective, size=size)
    assert float(found.total) == pytest.approx(float(expected.total.detach()), abs=1e-5)
    wanted = grads(whole)
    assert wanted.keys() == grads(parts).keys()
    for name, gradient in grads(parts).items():
        assert torch.allclose(gradient, wanted[name], atol=1e-5), name


def test_gradient_cache_repeats_chance() -> None:
    """With drop-out both passes must drop the same: the gradient is then that of the loss that was told."""
    batch, objective = batch_of(ORIGIN, GROUP), SelfCon()
    teaching = Teaching(Contrasting(drop=0.5), objective).train()
    torch.manual_seed(3)
    found = cached_backward(teaching, batch, objective, size=2)
    after = torch.get_rng_state()
    again = Teaching(Contrasting(drop=0.5), objective).train()
    torch.manual_seed(3)
    views = torch.cat([again(part.image).embeddings for part in batch.split(2)])  # type: ignore[misc]
    expected = objective(Shown(embeddings=views), batch)
    expected.total.backward()
    assert float(found.total) == pytest.approx(float(expected.total.detach()), abs=1e-5)
    for name, gradient in grads(teaching).items():
        assert torch.allclose(gradient, grads(again)[name], atol=1e-5), name
    assert torch.equal(after, torch.get_rng_state())


def test_gradient_cache_with_batch_norm_sees_parts() -> None:
    """What is said not to hold: batch norm normalises each part by itself, so the gradient is another one."""
    batch, objective = batch_of(ORIGIN, GROUP), SelfCon()
    whole, parts = Contrasting(norm=True), Contrasting(norm=True)
    objective(Teaching(whole, objective).train()(batch.image), batch).total.backward()
    cached_backward(Teaching(parts, objective).train(), batch, objective, size=3)
    assert not torch.allclose(grads(whole)["head.weight"], grads(parts)["head.weight"], atol=1e-4)
    tracked = "encoder.layers.1.num_batches_tracked"
    assert int(parts.state_dict()[tracked]) == 2  # one for each part, though each went through twice
    twice = Contrasting(norm=True)
    cached_backward(Teaching(twice, objective).train(), batch, objective, size=3, norms_twice=True)
    assert int(twice.state_dict()[tracked]) == 4
    once = Contrasting(norm=True).train()
    for part in batch.split(3):
        once.embeddings(part.image)
    mean = "encoder.layers.1.running_mean"
    assert torch.allclose(once.state_dict()[mean], parts.state_dict()[mean])
    # In evaluation mode batch norm, too, treats pictures one by one.
    whole, parts = Contrasting(norm=True).eval(), Contrasting(norm=True).eval()
    objective(Teaching(whole, objective).eval()(batch.image), batch).total.backward()
    cached_backward(Teaching(parts, objective).eval(), batch, objective, size=4)
    assert torch.allclose(grads(whole)["head.weight"], grads(parts)["head.weight"], atol=1e-5)


def test_gradient_cache_of_a_scaled_loss() -> None:
    batch, objective = batch_of(ORIGIN), Detect()
    plain, scaled = Teaching(Contrasting(), objective).eval(), Teaching(Contrasting(), objective).eval()
    cached_backward(plain, batch, objective, size=2)
    losses = cached_backward(scaled, batch, objective, size=2, scale=lambda loss: 8 * loss)
    assert torch.allclose(8 * grads(plain)["network.classifier.1.weight"], grads(scaled)["network.classifier.1.weight"])
    assert not losses.total.requires_grad


# --- the table --------------------------------------------------------------------------------------------------


def test_every_objective_reads_its_settings() -> None:
    for name in OBJECTIVES:
        found = read_objective({"name": name})
        assert isinstance(found, look_up(OBJECTIVES, name, "objective"))
    assert read_objective({"name": "detect-localise", "weights": "paper"}) == DetectLocalise(weights="paper")
    assert read_objective({"name": "detect-localise", "weights": [1, 2]}) == DetectLocalise(weights=(1.0, 2.0))
    with pytest.raises(UnknownName, match="no objective called 'selfcom'"):
        read_objective({"name": "selfcom"})
    with pytest.raises(BadSetting, match="temprature"):
        read_objective({"name": "selfcon", "temprature": 0.1})
    with pytest.raises(BadSetting, match="temperature is out of range"):
        read_objective({"name": "selfcon", "temperature": 0})
    with pytest.raises(BadSetting, match="says which it is"):
        read_objective({})


def test_what_a_network_does_not_tell_is_said() -> None:
    batch = batch_of(ORIGIN)
    with pytest.raises(BadSetting, match="tells no mask"):
        DetectLocalise()(Output(logit=torch.zeros(6)), batch)
    with pytest.raises(BadSetting, match="learns from masks"):
        DetectLocalise()(Output(logit=torch.zeros(6), mask=torch.zeros(6, 1, 8, 8)), batch)
    with pytest.raises(BadSetting, match="no part called 'embeddings'"):
        Teaching(nn.Linear(3, 1), SelfCon())(batch.image)
    with pytest.raises(BadShape, match="maps of different sizes"):
        DetectLocalise()(
            Output(logit=torch.zeros(6), mask=torch.zeros(6, 1, 4, 4)), batch_of(ORIGIN, mask=torch.zeros(6, 1, 8, 8))
        )
