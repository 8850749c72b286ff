"""Quire: a distributed generation job system for creative work."""

__version__ = "0.1.0"
