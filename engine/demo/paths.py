"""Paths of the shipped demo model and of its build folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "assets" / "models" / "explorer-4l"
BUILD = ROOT / "build" / "explorer-4l"
