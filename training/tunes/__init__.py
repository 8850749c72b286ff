"""Tunes in ABC: reading, checking, transposing and writing them."""
