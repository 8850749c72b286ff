"""Batches over HTTP: what may be sent (`requests`, `lines`), how it is taken in (`opening`), what is shown
(`view`, `results`).
"""
