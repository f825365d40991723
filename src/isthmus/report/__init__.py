"""What a person reads of a result, and what a program reads of it."""

from __future__ import annotations
