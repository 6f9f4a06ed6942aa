"""Builds an engine pack from a checkpoint: a shell over omnilive_export, never importing torch.

Usage: python export/build_engines.py --checkpoint DIR --out engines/NAME [--precision int4]
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the exporter, from a checkout as well as installed."""
    root = Path(__file__).resolve().parent.parent
    for folder in (root / "runtime", root / "export"):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from omnilive_export.cli import main as build

    return build()


if __name__ == "__main__":
    sys.exit(main())
