"""Readers: a thing becomes the hub."""

from __future__ import annotations
