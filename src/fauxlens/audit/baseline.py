"""How much of the label can be told from the files' facts alone, without looking at a pixel.

Gradient-boosted trees on the fact table, cross-validated so that no origin (and no matched pair) is in two folds: what
they reach is a floor that any detector trained on this data must be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from fauxlens.audit.facts import ABSENT, FACT_BY_NAME, FactTable, fact_table
from fauxlens.audit.ranking import (
    auc_estimate,
    best_threshold,
    bootstrap_aucs,
    cross_validation_factor,
    interval_of,
    joined_groups,
    permutation_p,
    shuffled,
)
from fauxlens.audit.shortcut import Shortcut
from fauxlens.core.errors import BadSetting
from fauxlens.core.progress import Progress, silent
from fauxlens.core.report import Column, Table
from fauxlens.manifest.manifest import Manifest
from fauxlens.metrics.arrays import Flags, Floats, Integers
from fauxlens.metrics.image import auc_of as auc
from fauxlens.metrics.interval import Estimate

PAIR = "pair"
"""The column that `align` adds: rows of one matched pair share it."""

ALL, FILE_FACTS = "all facts", "file facts only"

# StratifiedGroupKFold tries every fold for every group, in Python: beyond this, groups are dealt out instead.
_MOST_GROUPS_TRIED = 3000
_GREATEST_CARD = 6


@dataclass(frozen=True, kw_only=True)
class BaselinePlan:
    """How the baseline is measured; the defaults are those of `fauxlens audit`.

    `sample_rows` bounds the rows used for permutation importance, tests, single facts and the shuffled control; the
    AUCs of the two variants and their intervals always use all rows.
    """

    seed: int = 0
    folds: int = 5
    resamples: int = 500
    permutations: int = 1999
    shuffles: int = 3
    repeats: int = 3
    sample_rows: int = 20_000
    least_groups: int = 10

    def __post_init__(self) -> None:
        for name, least in (("folds", 2), ("resamples", 100), ("permutations", 19), ("shuffles", 1), ("repeats", 1)):
            if getattr(self, name) < least:
                raise BadSetting(f"{name} is too small", wanted=f"{least} or more", got=getattr(self, name))
        if self.least_groups < self.folds or self.sample_rows < 100:
            raise BadSetting(
                "too few to cross-validate",
                wanted="least_groups of at least folds, sample_rows of at least 100",
                got=f"least_groups {self.least_groups}, folds {self.folds}, sample_rows {self.sample_rows}",
            )


@dataclass(frozen=True, slots=True)
class Importance:
    """What a fact is worth to the trees: AUC points lost when its columns are permuted together in held-out folds.

    Facts that stand in for each other share, and may each lose little: see the facts on their own beside it.
    """

    fact: str
    points: float
    spread: float


@dataclass(frozen=True, slots=True)
class SingleFact:
    """How far one fact gets alone, and what it says in plain words."""

    fact: str
    auc: Estimate
    p_value: float
    reading: str


@dataclass(frozen=True, slots=True)
class GeneratorResult:
    """The fakes of one generator against all reals; `told` is the share of them that were called fake."""

    generator: str
    count: int
    auc: Estimate
    called_fake: int

    @property
    def told(self) -> float:
        """Share of these fakes that were called fake."""
        return self.called_fake / self.count


@dataclass(frozen=True, eq=False)
class Variant:
    """One set of facts, cross-validated. `score` (N,) and `called_fake` (N,) are in the manifest's order.

    The two accuracies are at a threshold chosen, for each fold, on the other folds.
    """

    name: str
    facts: tuple[str, ...]
    auc: Estimate
    p_value: float
    balanced_accuracy: float
    accuracy: float
    reals_called_fake: int
    generators: tuple[GeneratorResult, ...]
    importance: tuple[Importance, ...]
    score: Floats
    called_fake: Flags


@dataclass(frozen=True, slots=True)
class Control:
    """The same procedure on labels shuffled between groups: most of the intervals must contain 0.5."""

    draws: tuple[Estimate, ...]

    @property
    def is_sound(self) -> bool:
        """Whether more than half of the intervals contain 0.5."""
        return 2 * sum(draw.contains(0.5) for draw in self.draws) > len(self.draws)

    @property
    def sentence(self) -> str:
        """What came of it, in words."""
        inside = sum(draw.contains(0.5) for draw in self.draws)
        said = f"labels shuffled between groups: AUC {', '.join(map(str, self.draws))}; {inside} of {len(self.draws)} "
        if self.is_sound:
            return said + "intervals contain 0.5, as they must"
        return (
            said + "intervals contain 0.5: this baseline cannot be trusted here, its numbers above 0.5 may be its own"
        )


@dataclass(frozen=True, eq=False)
class Baseline:
    """What the metadata-only baseline found, or in `skipped` a sentence that says why it could not run."""

    count: int
    reals: int
    fakes: int
    groups: int
    plan: BaselinePlan
    folds: int = 0
    variants: tuple[Variant, ...] = ()
    single: tuple[SingleFact, ...] = ()
    control: Control | None = None
    remarks: tuple[str, ...] = ()
    skipped: str | None = None

    def variant(self, name: str) -> Variant:
        """The variant called ALL or FILE_FACTS."""
        for one in self.variants:
            if one.name == name:
                return one
        raise BadSetting(f"no variant called '{name}'", wanted=f"'{ALL}' or '{FILE_FACTS}'", got=self.skipped or name)


def metadata_baseline(manifest: Manifest, plan: BaselinePlan | None = None, *, progress: Progress = silent) -> Baseline:
    """Tell real from fake by the files' facts alone, cross-validated, with controls; the order of rows does not matter.

    Groups are origins, joined with matched pairs where the manifest has a column `pair`: matched rows that were torn
    apart would let each fold learn the opposite of the others, and an aligned set would look worse than chance.
    """
    plan = plan or BaselinePlan()
    order = np.argsort(manifest.values("id").astype(str), kind="stable")
    ordered = manifest.take("sorted by id", order) if len(manifest) else manifest
    facts = fact_table(ordered)
    fake = np.asarray(pc.not_equal(ordered.column("label"), "real").to_numpy(), dtype=bool)
    group = groups_of(ordered)
    found = Baseline(
        count=len(fake), reals=int((~fake).sum()), fakes=int(fake.sum()), groups=len(np.unique(group)), plan=plan
    )
    skipped = _why_not(fake, group, facts, plan)
    if skipped is not None:
        return replace(found, skipped=skipped)
    generator = _generators(ordered, fake)
    measure = _Measure(facts, fake, group, generator, plan, progress)
    back = np.argsort(order, kind="stable")
    variants = measure.variants({ALL: facts.varying, FILE_FACTS: _pure(facts)}, back)
    single = measure.single()
    control = measure.control()
    return replace(
        found, folds=measure.folds, variants=variants, single=single, control=control, remarks=measure.remarks(control)
    )


def out_of_fold(facts: FactTable, fake: Flags, fold: Integers, *, seed: int = 0) -> Floats:
    """(N,) scores, each of a model that saw none of its fold; higher is more fake, 0 throughout when nothing varies."""
    return _Fitted(facts, fake, fold, seed).score


def assign_folds(fake: Flags, group: Integers, folds: int, *, seed: int = 0) -> Integers:
    """(N,) the fold of each row: whole groups, about equal shares of both classes.

    By scikit-learn's StratifiedGroupKFold; with more than a few thousand groups that takes minutes, so they are dealt
    out in turn instead, like compositions together, which balances as well when groups are many.
    """
    rng = np.random.default_rng(seed)
    numbers, place = np.unique(group, return_inverse=True)
    if len(numbers) <= _MOST_GROUPS_TRIED:
        from sklearn.model_selection import StratifiedGroupKFold

        fold = np.empty(len(fake), dtype=np.int64)
        chooser = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        for index, (_, held_out) in enumerate(chooser.split(np.zeros((len(fake), 1)), fake, place)):
            fold[held_out] = index
        return fold
    members, fakes = np.bincount(place), np.bincount(place, fake)
    order = np.lexsort((rng.random(len(numbers)), fakes, -members))
    fold_of_group = np.empty(len(numbers), dtype=np.int64)
    fold_of_group[order] = np.arange(len(numbers)) % folds
    return fold_of_group[place]


def groups_of(manifest: Manifest) -> Integers:
    """(N,) numbers of the groups that must stay together: one origin (itself where unknown), one matched pair."""
    ids = manifest.values("id").astype(object)
    keys = [_filled(manifest.values("origin"), ids).astype(str)]
    if PAIR in manifest.table.column_names:
        keys.append(_filled(manifest.values(PAIR), ids).astype(str))
    return joined_groups(*keys)


def baseline_shortcuts(baseline: Baseline) -> list[Shortcut]:
    """The result as shortcuts: all facts together, file facts alone, and each fact on its own."""
    if baseline.skipped is not None:
        return [Shortcut("metadata", "Labels told from file facts", skipped=baseline.skipped)]
    found = [_variant_shortcut(baseline, variant) for variant in baseline.variants]
    for one in baseline.single:
        fact = FACT_BY_NAME[one.fact]
        found.append(
            Shortcut(
                f"fact-{one.fact}",
                f"Labels told from {fact.title} alone",
                statistic_name="AUC",
                statistic=one.auc.value,
                interval=(one.auc.low, one.auc.high),
                p_value=one.p_value,
                count=min(baseline.count, baseline.plan.sample_rows),
                effect=one.reading,
                meaning=_meaning_of(one),
            )
        )
    return found


def baseline_tables(baseline: Baseline) -> tuple[Table, ...]:
    """Variants, single facts, importance, and the confusion by generator."""
    if baseline.skipped is not None:
        return ()
    return (
        Table(
            "metadata-baseline",
            "Labels told from file facts alone",
            (Column("facts"), *_AUC_COLUMNS, Column("p", format=".2g"), Column("balanced accuracy", format=".1%"),
             Column("accuracy", format=".1%"), Column("reals called fake")),
            tuple(
                (v.name, v.auc.value, v.auc.low, v.auc.high, v.p_value, v.balanced_accuracy, v.accuracy,
                 v.reals_called_fake)
                for v in baseline.variants
            ),
            note=None if baseline.control is None else baseline.control.sentence,
        ),
        Table(
            "single-facts",
            "Each fact alone",
            (Column("fact"), *_AUC_COLUMNS, Column("p", format=".2g"), Column("reading")),
            tuple((FACT_BY_NAME[s.fact].title, s.auc.value, s.auc.low, s.auc.high, s.p_value, s.reading)
                  for s in baseline.single),
        ),
        *(_importance_table(variant) for variant in baseline.variants),
        *(_generator_table(variant) for variant in baseline.variants),
    )  # fmt: skip


_AUC_COLUMNS = (
    Column("AUC", format=".3f"),
    Column("low", format=".3f"),
    Column("high", format=".3f"),
)


@dataclass(frozen=True, eq=False)
class _Held:
    """A model of one fold: the columns it uses, the rows it has not seen, the log-odds of fake where it was trained."""

    model: Any
    columns: Integers
    rows: Integers
    prior: float

    def scores(self, values: Floats) -> Floats:
        """Log-odds of fake beyond the classes' shares in training.

        Without this, a fold with more fakes leaves fewer to learn from, which pushes its own scores down, and the
        pooled AUC of a clean set below 0.5. (Class weights would do the same at five times the cost.)
        """
        return np.asarray(self.model.decision_function(values) - self.prior, dtype=np.float64)


class _Fitted:
    """One model a fold, and the scores of all rows by the model that did not see them."""

    def __init__(self, facts: FactTable, fake: Flags, fold: Integers, seed: int) -> None:
        self.facts = facts
        self.score: Floats = np.zeros(len(fake))
        self.held: list[_Held] = []
        for index in range(int(fold.max(initial=-1)) + 1):
            rows = np.flatnonzero(fold == index)
            train = np.flatnonzero(fold != index)
            columns = _varying_columns(facts.values[train])
            if not len(columns) or len(np.unique(fake[train])) < 2:
                continue
            model = _model(len(train), seed)
            model.fit(facts.values[np.ix_(train, columns)], fake[train])
            share = fake[train].mean()
            held = _Held(model, columns, rows, float(np.log(share / (1 - share))))
            self.held.append(held)
            self.score[rows] = held.scores(facts.values[np.ix_(rows, columns)])


def _model(rows: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # No early stopping: it would set rows aside without regard to groups.
    return HistGradientBoostingClassifier(
        max_iter=40,
        learning_rate=0.2,
        max_leaf_nodes=15,
        min_samples_leaf=max(3, min(20, rows // 50)),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )


class _Measure:
    """The measurements of one dataset, sharing folds and chance."""

    def __init__(
        self,
        facts: FactTable,
        fake: Flags,
        group: Integers,
        generator: npt.NDArray[Any],
        plan: BaselinePlan,
        progress: Progress,
    ) -> None:
        self.facts, self.fake, self.group, self.generator, self.plan = facts, fake, group, generator, plan
        self.progress = progress
        self.folds = plan.folds
        self.widen = cross_validation_factor(plan.folds)
        self.fold = assign_folds(fake, group, self.folds, seed=plan.seed)
        self.sample = _sampled(group, plan.sample_rows, self._chance("sample"))

    def variants(self, sets: Mapping[str, Sequence[str]], back: Integers) -> tuple[Variant, ...]:
        """Cross-validate each set of facts; their tests share the exchanges of labels."""
        fitted: dict[str, _Fitted] = {}
        for name, facts in sets.items():
            self.progress(len(fitted), len(sets), f"metadata-only baseline: {name}")
            fitted[name] = _Fitted(self.facts.only(facts), self.fake, self.fold, self.plan.seed)
        scores = np.stack([one.score for one in fitted.values()])
        rows = self.sample
        p_values = permutation_p(
            self.fake[rows],
            scores[:, rows],
            self.group[rows],
            permutations=self.plan.permutations,
            rng=self._chance("permute"),
            widen=self.widen,
        )
        return tuple(
            self._variant(name, one, float(p_value), back)
            for (name, one), p_value in zip(fitted.items(), p_values, strict=True)
        )

    def single(self) -> tuple[SingleFact, ...]:
        """Each fact alone, the one that tells most first."""
        rows, plan = self.sample, self.plan
        table, fake, group = self.facts.rows(rows), self.fake[rows], self.group[rows]
        names = table.varying
        scores = []
        for done, name in enumerate(names):
            self.progress(done, len(names), "metadata-only baseline: single facts")
            scores.append(_Fitted(table.only([name]), fake, self.fold[rows], plan.seed).score)
        if not scores:
            return ()
        p_values = permutation_p(
            fake,
            np.stack(scores),
            group,
            permutations=plan.permutations,
            rng=self._chance("permute"),
            widen=self.widen,
        )
        rng = self._chance("bootstrap")
        found = [
            SingleFact(
                name,
                auc_estimate(fake, score, group, resamples=plan.resamples, rng=rng, widen=self.widen),
                float(p_value),
                reading_of(table, name, fake, self.generator[rows]),
            )
            for name, score, p_value in zip(names, scores, p_values, strict=True)
        ]
        return tuple(sorted(found, key=lambda one: (-one.auc.value, one.fact)))

    def control(self) -> Control:
        """The whole procedure on shuffled labels."""
        rows, plan = self.sample, self.plan
        table, group = self.facts.rows(rows), self.group[rows]
        rng = self._chance("shuffle")
        draws = []
        for done in range(plan.shuffles):
            self.progress(done, plan.shuffles, "metadata-only baseline: shuffled control")
            label = shuffled(self.fake[rows], group, rng)
            fold = assign_folds(label, group, self.folds, seed=plan.seed)
            score = _Fitted(table, label, fold, plan.seed).score
            draws.append(auc_estimate(label, score, group, resamples=plan.resamples, rng=rng, widen=self.widen))
        return Control(tuple(draws))

    def remarks(self, control: Control) -> tuple[str, ...]:
        """What a reader must know beside the numbers."""
        said = [] if control.is_sound else [control.sentence]
        if self.facts.unknown:
            titles = ", ".join(FACT_BY_NAME[name].title for name in self.facts.unknown)
            said.append(f"not in the manifest, so not looked at: {titles}")
        constant = [FACT_BY_NAME[name].title for name in self.facts.facts if name not in self.facts.varying]
        if constant:
            said.append(f"the same in every file: {', '.join(constant)}")
        if len(self.sample) < len(self.fake):
            wider = (len(self.fake) / len(self.sample)) ** 0.5
            said.append(
                f"importance, tests, single facts and the shuffled control use {len(self.sample):,} of "
                f"{len(self.fake):,} rows (whole groups, drawn by seed); their intervals are about {wider:.1f} times "
                "as wide as with all"
            )
        return tuple(said)

    def _variant(self, name: str, fitted: _Fitted, p_value: float, back: Integers) -> Variant:
        plan, fake, score = self.plan, self.fake, fitted.score
        names, part = np.unique(self.generator[fake], return_inverse=True)
        of_row = np.zeros(len(fake), dtype=np.int64)
        of_row[fake] = part
        drawn = bootstrap_aucs(
            fake, score, self.group, resamples=plan.resamples, rng=self._chance("bootstrap"), part=of_row,
            parts=len(names),
        )  # fmt: skip
        called = self._called(score)
        generators = []
        for index, generator in enumerate(names):
            mine = fake & (of_row == index)
            value = auc(fake[~fake | mine], score[~fake | mine])
            estimate = interval_of(value, drawn[:, 1 + index], widen=self.widen)
            generators.append(GeneratorResult(str(generator), int(mine.sum()), estimate, int(called[mine].sum())))
        right = called == fake
        return Variant(
            name=name,
            facts=fitted.facts.facts,
            auc=interval_of(auc(fake, score), drawn[:, 0], widen=self.widen),
            p_value=p_value,
            balanced_accuracy=float((right[fake].mean() + right[~fake].mean()) / 2),
            accuracy=float(right.mean()),
            reals_called_fake=int(called[~fake].sum()),
            generators=tuple(generators),
            importance=self._importance(fitted),
            score=score[back],
            called_fake=called[back],
        )

    def _called(self, score: Floats) -> Flags:
        called = np.zeros(len(score), dtype=bool)
        for index in range(self.folds):
            here = self.fold == index
            called[here] = score[here] >= best_threshold(self.fake[~here], score[~here])
        return called

    def _importance(self, fitted: _Fitted) -> tuple[Importance, ...]:
        is_sampled = np.zeros(len(self.fake), dtype=bool)
        is_sampled[self.sample] = True
        rng = self._chance("importance")
        fake = self.fake[self.sample]
        found = []
        for fact in fitted.facts.facts:
            mine = set(fitted.facts.columns_of(fact))
            lost = []
            for _ in range(self.plan.repeats):
                score = np.where(is_sampled, fitted.score, 0.0)
                for held in fitted.held:
                    rows = held.rows[is_sampled[held.rows]]
                    places = [place for place, column in enumerate(held.columns) if column in mine]
                    if not len(rows) or not places:
                        continue
                    values = fitted.facts.values[np.ix_(rows, held.columns)]
                    values[:, places] = values[rng.permutation(len(rows))][:, places]
                    score[rows] = held.scores(values)
                lost.append(auc(fake, fitted.score[self.sample]) - auc(fake, score[self.sample]))
            spread = float(np.std(lost, ddof=1)) if len(lost) > 1 else 0.0
            found.append(Importance(fact, 100 * float(np.mean(lost)), 100 * spread))
        return tuple(sorted(found, key=lambda one: (-one.points, one.fact)))

    def _chance(self, purpose: str) -> np.random.Generator:
        # A stream a purpose: another number of resamples must not change what is permuted.
        return np.random.default_rng([self.plan.seed, *purpose.encode()])


def reading_of(facts: FactTable, fact: str, fake: Flags, generator: npt.NDArray[Any]) -> str:
    """What one fact says of the classes, in plain words.

    `generator` (N,) holds the generator of each fake; when few of them differ, each is named.
    """
    if fact in facts.words:
        return _reading_of_words(facts.words[fact], fake)
    if fact == "metadata":
        return _reading_of_kinds(facts, fake)
    if fact == "size":
        sizes = np.char.add(
            np.char.add(_whole(facts.column("width")), "x"), _whole(facts.column("height"))
        )  # fmt: skip
        told = _reading_by_class(
            facts.column("pixels") ** 0.5, fake, generator, "{:.0f} px a side", as_whole=True, most=1
        )
        square = facts.column("is_square")
        shares = "; ".join(
            f"{name} {np.nanmean(square[mask]):.0%} square, mostly {_mode(sizes[mask])}"
            for name, mask in (("real", ~fake), ("fake", fake))
            if not np.isnan(square[mask]).all()
        )
        return f"{shares} ({told})"
    if fact == "jpeg_quality":
        told = _reading_by_class(facts.column("jpeg_quality"), fake, generator, "{:.0f}", as_whole=True)
        return f"quality of {told}"
    if fact == "bytes":
        name = "bytes_per_pixel" if "bytes_per_pixel" in facts.columns else "bytes"
        return f"{name.replace('_', ' ')} of {_reading_by_class(facts.column(name), fake, generator, '{:.2f}')}"
    first = facts.columns[facts.columns_of(fact)[0]]
    words = _whole(facts.column(first))
    if fact == "progressive":
        words = np.where(words == "1", "progressive or interlaced picture", np.where(words == "0", "plain one", ABSENT))
    return _reading_of_words(words, fake)


def _reading_of_words(words: npt.NDArray[Any], fake: Flags) -> str:
    values, place = np.unique(words.astype(str), return_inverse=True)
    fakes, reals = np.bincount(place[fake], minlength=len(values)), np.bincount(place[~fake], minlength=len(values))
    said = []
    for index in np.argsort(-(fakes + reals), kind="stable")[:_GREATEST_CARD]:
        count, share = int(fakes[index] + reals[index]), fakes[index] / (fakes[index] + reals[index])
        if share in (0, 1):
            said.append(f"every {values[index]} is {'fake' if share else 'real'} ({count:,})")
        else:
            said.append(f"{values[index]}: {share:.0%} of {count:,} fake")
    more = len(values) - _GREATEST_CARD
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


def _reading_of_kinds(facts: FactTable, fake: Flags) -> str:
    said = []
    for index in facts.columns_of("metadata"):
        has = facts.values[:, index]
        real, made = np.nanmean(has[~fake]), np.nanmean(has[fake])
        said.append(
            (abs(real - made), f"{facts.columns[index].partition('=')[2]} in {real:.0%} of reals, {made:.0%} of fakes")
        )
    said.sort(key=lambda one: (-one[0], one[1]))
    # Kinds that are as frequent in both classes tell nothing.
    return (
        "; ".join(text for difference, text in said[:_GREATEST_CARD] if difference > 0.005) or "alike in both classes"
    )


def _reading_by_class(
    values: Floats, fake: Flags, generator: npt.NDArray[Any], form: str, *, as_whole: bool = False, most: int = 4
) -> str:
    """The middle half of the values of the reals and of each generator, or of all fakes when those are many."""
    names = np.unique(generator[fake])
    sorts = [("real", ~fake)]
    sorts += [(str(n), fake & (generator == n)) for n in names] if len(names) <= most else [("fake", fake)]
    said = []
    for name, mask in sorts:
        known = values[mask][~np.isnan(values[mask])]
        if not len(known):
            said.append(f"{name}: none")
            continue
        low, high = np.quantile(known, (0.25, 0.75), method="nearest") if as_whole else np.quantile(known, (0.25, 0.75))
        first, last = form.format(low), form.format(high)
        told = first if first == last else f"{first.split(' ')[0]}-{last}"
        missing = 1 - len(known) / int(mask.sum())
        said.append(f"{name}: {told}" + (f" ({missing:.0%} have none)" if missing > 0 else ""))
    return "; ".join(said)


def _mode(words: npt.NDArray[Any]) -> str:
    values, counts = np.unique(words, return_counts=True)
    return str(values[int(counts.argmax())])


def _whole(values: Floats) -> npt.NDArray[Any]:
    texts = np.where(np.isnan(values), -1, values).astype(np.int64).astype(str)
    return np.where(np.isnan(values), ABSENT, texts)


def _variant_shortcut(baseline: Baseline, variant: Variant) -> Shortcut:
    is_all = variant.name == ALL
    told = f"{variant.balanced_accuracy:.1%} of labels can be told without looking at a pixel"
    leading = ", ".join(
        f"{FACT_BY_NAME[one.fact].title} ({one.auc.value:.3f} alone)"
        for one in baseline.single
        if one.fact in variant.facts and one.auc.low > 0.5
    )
    if variant.auc.low > 0.5:
        meaning = (
            "A detector trained on this data can reach this number without learning anything about generation; compare "
            "every accuracy with it, or align the set first (`fauxlens align`)."
        )
    else:
        meaning = "The files' facts do not give the label away; this says nothing about what is in the pixels."
    if not is_all:
        meaning += " Facts that depend on what the picture shows (bytes, content) are left out here."
    return Shortcut(
        "metadata" if is_all else "file-facts",
        "Labels told from all file facts" if is_all else "Labels told from file facts that do not depend on content",
        statistic_name="AUC",
        statistic=variant.auc.value,
        interval=(variant.auc.low, variant.auc.high),
        p_value=variant.p_value,
        count=baseline.count,
        effect=told + (f"; by {leading}" if leading else ""),
        meaning=meaning,
        tables=baseline_tables(baseline) if is_all else (),
    )


def _meaning_of(one: SingleFact) -> str:
    title = FACT_BY_NAME[one.fact].title
    if one.auc.low <= 0.5:
        return f"The classes cannot be told apart by {title}."
    return f"A detector may learn {title} instead of traces of generation; match or re-encode the two classes in it."


def _importance_table(variant: Variant) -> Table:
    columns = (Column("fact"), Column("AUC points lost", format=".1f"), Column("spread", format=".1f"))
    rows = tuple((FACT_BY_NAME[one.fact].title, one.points, one.spread) for one in variant.importance)
    note = "All columns of a fact permuted together in the held-out folds. Facts that stand in for each other share."
    return Table(_slug("importance", variant), f"What the trees use: {variant.name}", columns, rows, note)


def _generator_table(variant: Variant) -> Table:
    columns = (Column("generator"), Column("fakes"), *_AUC_COLUMNS, Column("called fake"), Column("called real"))
    rows = tuple(
        (g.generator, g.count, g.auc.value, g.auc.low, g.auc.high, g.called_fake, g.count - g.called_fake)
        for g in variant.generators
    )
    note = "Each generator's fakes against all reals; out of fold, threshold chosen on the other folds."
    return Table(_slug("generators", variant), f"By generator: {variant.name}", columns, rows, note)


def _slug(name: str, variant: Variant) -> str:
    return f"{name}-{variant.name.replace(' ', '-')}"


def _why_not(fake: Flags, group: Integers, facts: FactTable, plan: BaselinePlan) -> str | None:
    if not len(fake):
        return "the manifest has no rows"
    for name, mask in (("real", ~fake), ("fake", fake)):
        if not mask.any():
            return f"there is one class only: no {name} picture"
    for name, mask in (("real", ~fake), ("fake", fake)):
        count = len(np.unique(group[mask]))
        if count < plan.least_groups:
            return f"only {count} groups of {name} pictures, and cross-validation needs {plan.least_groups}"
    if not facts.facts:
        return "the manifest has no column with a fact of the files; scan the folder to fill them"
    return None


def _pure(facts: FactTable) -> tuple[str, ...]:
    return tuple(name for name in facts.varying if name in facts.file_facts)


def _generators(manifest: Manifest, fake: Flags) -> npt.NDArray[Any]:
    named = manifest.values("generator")
    if manifest.column("method").null_count < len(manifest):
        # Forged rows have a method where generated ones have a generator.
        named = _filled(named, manifest.values("method"))
    named = _filled(named, np.full(len(fake), "fake", dtype=object))
    return np.where(fake, named.astype(str), "real")


def _filled(values: npt.NDArray[Any], instead: npt.NDArray[Any]) -> npt.NDArray[Any]:
    values = values.astype(object)
    missing = np.array([value is None or value != value for value in values], dtype=bool)
    return np.where(missing, instead, values)


def _sampled(group: Integers, rows: int, rng: np.random.Generator) -> Integers:
    """Row numbers of randomly drawn whole groups, about `rows` of them; all when there are no more."""
    if len(group) <= rows:
        return np.arange(len(group))
    members = np.bincount(group)
    order = rng.permutation(len(members))
    enough = int(np.searchsorted(np.cumsum(members[order]), rows)) + 1
    chosen = np.zeros(len(members), dtype=bool)
    chosen[order[:enough]] = True
    return np.flatnonzero(chosen[group])


def _varying_columns(values: Floats) -> Integers:
    first = values[:1]
    same = (values == first) | (np.isnan(values) & np.isnan(first))
    return np.flatnonzero(~same.all(axis=0))
