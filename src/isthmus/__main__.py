"""``python -m isthmus`` is the same program as ``isthmus``."""

from __future__ import annotations

from isthmus.cli.main import entry

entry()
