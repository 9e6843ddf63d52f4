"""Record all golden results anew: `make golden`. Look at the difference before you commit it."""

from __future__ import annotations

import runpy
from pathlib import Path

if __name__ == "__main__":
    for script in sorted(Path(__file__).parent.glob("rewrite_*.py")):
        runpy.run_path(str(script), run_name="__main__")
