"""Read a pickle without letting it call anything.

A pickle is a program. Here every class or function it names is replaced by one
inert record, and a name outside the list is refused, so reading can build
nested records and nothing else: neither pandas nor numpy is needed.
"""

import pickle
from typing import BinaryIO, Self

ALLOWED = frozenset(
    {
        ("builtins", "slice"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("pandas.core.frame", "DataFrame"),
        ("pandas.core.indexes.base", "Index"),
        ("pandas.core.indexes.base", "_new_Index"),
        ("pandas.core.indexes.range", "RangeIndex"),
        ("pandas.core.internals.managers", "BlockManager"),
    }
)


class Inert:
    """What stands for any object of the pickle: its arguments and its state, unused."""

    args: tuple[object, ...]
    state: object

    def __new__(cls, *args: object) -> Self:
        """Keep the arguments; nothing is called."""
        record = super().__new__(cls)
        record.args = args
        record.state = None
        return record

    def __setstate__(self, state: object) -> None:
        """Keep the state; nothing is restored from it."""
        self.state = state


class InertUnpickler(pickle.Unpickler):
    """Raises `pickle.UnpicklingError` for any name outside `ALLOWED`."""

    def find_class(self, module: str, name: str, /) -> type[Inert]:
        """Give the inert record for an allowed name."""
        if (module, name) not in ALLOWED:
            message = f"the pickle asks for {module}.{name}, which is not allowed"
            raise pickle.UnpicklingError(message)
        return Inert


def read(stream: BinaryIO) -> object:
    """Read one pickled object as nested `Inert` records, lists, tuples, dicts and scalars."""
    return InertUnpickler(stream).load()
