"""Operators of com.microsoft that are plain compositions of standard ones."""
