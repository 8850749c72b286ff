"""Schedules: batches at moments of a series. Firing only records that a moment was due, in one row for each; its
batch is made afterwards. So ten thousand schedules can fire together, and a moment has one batch, whatever dies.
"""
