"""`fauxlens align`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Quiet, RootOption, Workers

if TYPE_CHECKING:
    from fauxlens.audit.recode import RecodePlan


class Method(StrEnum):
    """How rows are matched."""

    exact = "exact"
    pairs = "pairs"


class Recode(StrEnum):
    """How files are written anew."""

    strict = "strict"
    faithful = "faithful"
    none = "none"


def command(
    manifest: Annotated[Path | None, typer.Argument(help="A manifest (.parquet).", metavar="M.PARQUET")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the aligned set and the report.")
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="A named plan (--list shows them).")] = None,
    match: Annotated[
        str | None,
        typer.Option(help="Facts to match, such as size,format,quality,subsampling,content.", metavar="FACTS"),
    ] = None,
    method: Annotated[Method | None, typer.Option(help="Equal numbers in every cell, or one to one.")] = None,
    generator: Annotated[list[str] | None, typer.Option(help="Only the fakes of this generator; repeatable.")] = None,
    sides: Annotated[
        str | None, typer.Option(help="Both sides of reals within this range.", metavar="LOW-HIGH")
    ] = None,
    real_quality: Annotated[int | None, typer.Option(help="Only reals of this JPEG quality.", min=1, max=100)] = None,
    balance_content: Annotated[
        bool | None,
        typer.Option(
            "--balance-content/--no-balance-content", help="As many of each content class.", show_default=False
        ),
    ] = None,
    recode: Annotated[
        Recode | None, typer.Option(help="Write files anew: strict, faithful (the paper's way) or none.")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="JPEG quality of the new files (96).", min=1, max=100, show_default=False)
    ] = None,
    subsampling: Annotated[
        str | None, typer.Option(help="Chroma of the new files (strict: 4:4:4, faithful: 4:2:0).", show_default=False)
    ] = None,
    crop: Annotated[
        int | None, typer.Option(help="Cut a square of this side out of every picture (strict).", min=8)
    ] = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="Fakes that were never a JPEG go through one like the reals' first (strict)."),
    ] = False,
    seed: Annotated[int, typer.Option(help="For every draw.", min=0)] = 42,
    audit_pictures: Annotated[
        int, typer.Option(help="Pictures a class for the audit before and after; 0: facts only.", min=0)
    ] = 300,
    no_audit: Annotated[bool, typer.Option("--no-audit", help="Align only.")] = False,
    list_recipes: Annotated[bool, typer.Option("--list", help="Show the named plans and stop.")] = False,
    root: RootOption = None,
    workers: Workers = 1,
    json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """A training set whose files do not give the label away, and the unaligned one of the same numbers beside it.

    Options beside --recipe change that recipe where they are given, and nothing else of it.
    """
    from fauxlens.audit.align import RECIPES, AlignPlan, align, align_recipe
    from fauxlens.core.errors import BadSetting

    if list_recipes:
        if json:
            console.say_json([{"name": r.name, "summary": r.summary} for r in RECIPES.values()])
        else:
            console.show_table(("recipe", "what it does"), [(r.name, r.summary) for r in RECIPES.values()])
        return 0
    if manifest is None or output is None:
        raise BadSetting(
            "a manifest and --output are needed",
            hint="fauxlens align m.parquet --recipe strict-96 -o aligned (see --list)",
        )
    plan = AlignPlan(recode=None) if recipe is None else align_recipe(recipe).plan
    if generator:
        plan = replace(plan, generators=tuple(generator))
    if sides is not None:
        low, dash, high = sides.partition("-")
        if not dash or not low.isdigit() or not high.isdigit():
            raise BadSetting("--sides is LOW-HIGH", got=sides, hint="for example --sides 450-550")
        plan = replace(plan, least_side=int(low), most_side=int(high))
    if real_quality is not None:
        plan = replace(plan, real_quality=real_quality)
    if match is not None:
        plan = replace(plan, match=tuple(name.strip() for name in match.split(",") if name.strip()))
    if method is not None:
        plan = replace(plan, method=method.value)
    if balance_content is not None:
        plan = replace(plan, balance_content=balance_content)
    plan = replace(plan, recode=_recode_plan(plan.recode, recode, quality, subsampling, crop, history), seed=seed)

    from fauxlens.audit.audit import AuditPlan, audit
    from fauxlens.audit.page import facts_of, report_of
    from fauxlens.manifest.manifest import read_manifest
    from fauxlens.report import write_report

    original = read_manifest(manifest, root=root)
    page: Path | None = None
    with console.progress_of(quiet or json) as progress:
        made = align(original, plan, output, workers=workers, progress=progress)
        if not no_audit:
            look = AuditPlan(per_class=audit_pictures, per_generator=audit_pictures)
            before = audit(original, look, workers=workers, progress=progress)
            after = audit(made.manifest, look, workers=workers, progress=progress)
            report = report_of(before, after, losses=made.table()).with_provenance(console.circumstances())
            page = write_report(report, output, name="align")
    table = made.table()
    if json:
        console.say_json(
            {
                "constrained": str(output / "constrained.parquet"),
                "raw": str(output / "raw.parquet"),
                "remarks": list(made.remarks),
                "before": list(made.before),
                "after": list(made.after),
                "losses": [{"label": loss.label, "reason": loss.reason, "count": loss.count} for loss in made.losses],
                "audit": None
                if page is None
                else {"before": facts_of(before), "after": facts_of(after), "page": str(page)},
            }
        )
        return 0
    console.say(table.note or "")
    console.show_table(tuple(c.name for c in table.columns), [tuple(row) for row in table.rows], numbers=(2,))
    if page is not None:
        console.say(f"before: {before.sentence}")
        console.say(f"after: {after.sentence}")
        if after.baseline.skipped is None:
            pure = after.baseline.variant("file facts only")
            console.say(f"after, from file facts that do not depend on content: AUC {pure.auc}")
        console.say(f"wrote {page}")
    console.say(f"wrote {output / 'constrained.parquet'} and {output / 'raw.parquet'}")
    return 0


def _recode_plan(
    base: RecodePlan | None,
    mode: Recode | None,
    quality: int | None,
    subsampling: str | None,
    crop: int | None,
    history: bool,
) -> RecodePlan | None:
    """The recipe's way of writing (`base`) with what was given in place of its own; None: no file is written anew."""
    from fauxlens.audit.recode import RecodePlan
    from fauxlens.core.errors import BadSetting

    options = {"quality": quality, "subsampling": subsampling, "crop": crop, "history": history or None}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if mode is Recode.none or (mode is None and base is None):
        if given:
            raise BadSetting(
                "no file is written anew, so there is nothing to set", got=", ".join(f"--{name}" for name in given),
                hint="add --recode strict, or leave these out",
            )  # fmt: skip
        return None
    if mode is not None and (base is None or base.mode != mode.value):
        # Each mode has a chroma of its own: a recipe's is not carried from one into the other.
        given = {"subsampling": "4:2:0" if mode is Recode.faithful else "4:4:4", **given, "mode": mode.value}
    return replace(base or RecodePlan(), **given)
