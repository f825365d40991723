"""The judge: source and result, side by side, on the same inputs."""

from __future__ import annotations
