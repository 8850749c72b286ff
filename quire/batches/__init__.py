"""Batches: many jobs under one roof.

    receiving -> running -> completed | cancelled | expired | exhausted

The items of a batch wait outside the queue, as rows that no claim sees. A scheduler feeds them: no more than a
window of them are jobs at once, within the batch's own cap and budget and the tenant's quotas. What ends is
collected: counted, and given a place in the results. Whoever changes a batch locks it first, then its jobs, then
their lanes.
"""

from quire.batches.counting import Counts, counts
from quire.batches.ending import cancel, end, expire_overdue
from quire.batches.feeding import Feeder, is_hungry
from quire.batches.forgetting import erase_some, forget, forget_received, remove_some
from quire.batches.opening import Draft, Item, add_items, discard, open_batch, release
from quire.batches.reading import Cursor, Place, find, places
from quire.batches.taking import Begin, Limits, take, take_in_pieces

__all__ = [
    "Begin",
    "Counts",
    "Cursor",
    "Draft",
    "Feeder",
    "Item",
    "Limits",
    "Place",
    "add_items",
    "cancel",
    "counts",
    "discard",
    "end",
    "erase_some",
    "expire_overdue",
    "find",
    "forget",
    "forget_received",
    "is_hungry",
    "open_batch",
    "places",
    "release",
    "remove_some",
    "take",
    "take_in_pieces",
]
