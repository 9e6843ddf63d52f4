"""`fauxlens export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlens.cli import console
from fauxlens.cli.options import AsJson, Setting

FORMATS = ("onnx",)


def command(
    name: Annotated[str, typer.Argument(help="A detector: see `fauxlens detectors`.", metavar="NAME")],
    form: Annotated[str, typer.Option("--format", help="What to write: onnx.", metavar="FORMAT")] = "onnx",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; NAME.onnx here by default.")
    ] = None,
    setting: Setting = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", help="A set by name, a file, or 'random' to try the code; the registered by default."
        ),
    ] = None,
    side: Annotated[
        int | None, typer.Option("--side", help="The file sees squares of this side only.", metavar="PIXELS", min=1)
    ] = None,
    opset: Annotated[int | None, typer.Option("--opset", help="The version of ONNX's operators.")] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Keep the file without comparing it with the network.")
    ] = False,
    json: AsJson = False,
) -> int:
    """Write a detector's network for other runtimes, and prove in ONNX Runtime that it says what the network says."""
    from dataclasses import asdict

    from fauxlens.core.names import unknown

    if form not in FORMATS:
        raise unknown(form, FORMATS, "format")
    from fauxlens.detectors.export import UNCHECKED, export, refuse
    from fauxlens.detectors.load import load
    from fauxlens.detectors.table import detector_class

    target = output or Path(f"{name}.onnx")
    refuse(detector_class(name), target, opset)
    detector = load(name, weights, setting=setting)
    if detector.weights.is_random:
        console.remark(f"WARNING: {name} has random weights: what this file says will mean nothing")
    if no_check:
        console.remark(f"WARNING: {UNCHECKED}")
    done = export(detector, target, side=side, opset=opset, check=not no_check)
    if json:
        choices = done.choices
        console.say_json(
            {
                "path": str(done.path),
                "bytes": done.bytes,
                "sha256": done.sha256,
                "opset": done.opset,
                "inputs": done.inputs,
                "outputs": done.outputs,
                "example": done.example,
                "dynamic": done.dynamic,
                "parity": [asdict(one) for one in done.parity],
                "choices": choices and asdict(choices),
                "tolerance": done.tolerance,
                "agrees": done.agrees,
                "metadata": done.metadata,
                "notes": done.notes,
            }
        )
        return 0
    console.say(f"{done.path}: {done.bytes:,} bytes, opset {done.opset}, SHA-256 {done.sha256}")
    for role, shapes in (("input", done.inputs), ("output", done.outputs)):
        for word, shape in shapes.items():
            console.say(f"  {role:<8}{word} ({', '.join(map(str, shape))})")
    for parity in done.parity:
        rounding = f"; rounding alone moves it by {parity.rounding:.2g}" if parity.rounding else ""
        far = f"{parity.difference:.2g} where the largest is {parity.scale:.2g}"
        console.say(f"  off by  {parity.output}: {far}{rounding}")
    if done.choices is not None:
        console.say(
            f"  choices {done.choices.differing:.2%} of where the network looks were chosen otherwise, all between "
            "equals as far as single precision tells; told these choices, the network is off by"
        )
        for parity in done.choices.given:
            console.say(f"          {parity.output}: {parity.difference:.2g} where the largest is {parity.scale:.2g}")
    if done.agrees:
        console.say(f"  agrees  within {done.tolerance:g} of the largest or what rounding explains, in ONNX Runtime")
    for note in done.notes:
        console.say(f"  note    {note}")
    return 0
