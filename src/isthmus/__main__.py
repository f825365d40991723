"""``python -m isthmus`` is the same program as ``isthmus``."""

from __future__ import annotations

import sys

from isthmus.cli.main import main

sys.exit(main())
