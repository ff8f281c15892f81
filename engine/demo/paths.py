"""Where the shipped demo model lies and where it is built."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "assets" / "models" / "explorer-4l"
BUILD = ROOT / "build" / "explorer-4l"
