"""The demo's scripts import each other as top-level modules, as they do when one of them is run."""

import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[3] / "infra" / "demo"
sys.path.insert(0, str(DEMO))
