"""Tasks for the tests of the work engine. A module of its own, because worker processes import it by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fauxlens.core.errors import WorkError
from fauxlens.work import Item

Task = Callable[[Item, int], Mapping[str, Any]]


def build_draw(settings: Mapping[str, Any]) -> Task:
    """Gives back what it was given and its seed; may take its time; may note each call in a file."""

    def draw(item: Item, seed: int) -> Mapping[str, Any]:
        if "calls" in settings:
            with Path(settings["calls"]).open("a", encoding="utf-8") as calls:
                calls.write(f"{item.key} {os.getpid()}\n")
        if settings.get("seconds"):
            time.sleep(settings["seconds"])
        return {"seed": seed, "number": item.payload.get("number"), "text": "naïve\u2028\n\ud800", "share": 1 / 3}

    return draw


def build_trouble(settings: Mapping[str, Any]) -> Task:
    """Does to each item what its payload asks for."""

    def trouble(item: Item, seed: int) -> Mapping[str, Any]:
        match item.payload.get("do"):
            case "raise":
                raise ValueError("no good")
            case "raise ours":
                raise WorkError("not like this", where="there", hint="do it otherwise")
            case "leave":
                sys.exit(3)
            case "nan":
                return {"value": float("nan")}
            case "list":
                return [1, 2]  # type: ignore[return-value]
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "kill once":
                mark = Path(settings["mark"])
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            case "need the mark":
                Path(settings["mark"]).read_text()
            case "change folder":
                os.chdir("/")
            case "exit":
                os._exit(5)
            case "hang":
                time.sleep(60)
            case "interrupt the parent":
                os.kill(os.getppid(), signal.SIGINT)
                time.sleep(0.2)
            case "interrupt me":
                os.kill(os.getpid(), signal.SIGINT)
            case "terminate me":
                os.kill(os.getpid(), signal.SIGTERM)
        return {"seed": seed, "process": os.getpid()} if settings.get("process") else {"seed": seed}

    return trouble


def build_nothing(settings: Mapping[str, Any]) -> Task:
    """A task that costs nothing, to measure what the engine costs."""
    return lambda item, seed: {}


def build_broken(settings: Mapping[str, Any]) -> Task:
    """A factory that fails."""
    raise RuntimeError("the weights are not there")


def build_deadly(settings: Mapping[str, Any]) -> Task:
    """A factory that takes its process with it."""
    os._exit(9)
