"""One process a framework, and the way the judge speaks to it."""

from __future__ import annotations
