"""Run a plan as a process of its own: `python work_jobs.py FOLDER WORKERS`. For tests that kill it."""

from __future__ import annotations

import sys
from pathlib import Path

from fauxlens.core.errors import Interrupted
from fauxlens.work import run

if __name__ == "__main__":
    try:
        print(run(Path(sys.argv[1]), workers=int(sys.argv[2])).results_sha256)
    except Interrupted as stopped:
        print(stopped)
        sys.exit(130)
