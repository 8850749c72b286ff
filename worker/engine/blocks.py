"""KV memory in blocks of 16 tokens: who holds which, and which hold tokens that may be met again. Plain Python.

A block that is full is known by what it holds: its 16 tokens and the block before it, so by all tokens from the
start of the text. Whoever needs keys and values of the same beginning holds the same block. When nobody does, the
block is free, but keeps what it holds until it is taken for something else, the longest unused first.
"""

from collections import OrderedDict
from collections.abc import Hashable

BLOCK_TOKENS = 16

# A place in a text: the scope for its start, else the name of the block that ends there.
Place = Hashable


def blocks_for(tokens: int) -> int:
    """Return how many blocks hold so many tokens."""
    return -(-tokens // BLOCK_TOKENS)


class Blocks:
    """A fixed number of blocks, counted from 0."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(count))
        self._holders = [0] * count
        self._found: dict[tuple[Place, tuple[int, ...]], int] = {}
        self._held: dict[int, tuple[Place, tuple[int, ...]]] = {}
        self._names: dict[int, int] = {}
        self._named = 0

    @property
    def free(self) -> int:
        """How many blocks nobody holds."""
        return len(self._free)

    def is_free(self, block: int) -> bool:
        return not self._holders[block]

    def take(self) -> int:
        """Hold the block that was unused for the longest; what it held is forgotten. KeyError if none is free."""
        block, _ = self._free.popitem(last=False)
        self._forget(block)
        self._holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """Hold a block that was found."""
        self._free.pop(block, None)
        self._holders[block] += 1

    def give_back(self, block: int) -> None:
        self._holders[block] -= 1
        if not self._holders[block]:
            self._free[block] = None
            if block not in self._held:  # nothing is lost with it, so it goes first
                self._free.move_to_end(block, last=False)

    def find(self, place: Place, tokens: tuple[int, ...]) -> int | None:
        """Return the block that holds `tokens` after `place`."""
        return self._found.get((place, tokens))

    def name(self, block: int) -> Place:
        """Return the place where the text of a found block ends."""
        return self._names[block]

    def know(self, block: int, place: Place, tokens: tuple[int, ...]) -> Place:
        """Note what `block` holds from now on; return the place where it ends.

        If another block holds the same, that one stays the one that is found.
        """
        known = self._found.setdefault((place, tokens), block)
        if known == block:
            self._held[block] = (place, tokens)
            self._named += 1
            self._names[block] = self._named
        return self._names[known]

    def _forget(self, block: int) -> None:
        held = self._held.pop(block, None)
        if held is not None:
            del self._found[held]
            del self._names[block]
