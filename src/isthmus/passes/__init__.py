"""Passes: hub in, hub out, each one thought."""
