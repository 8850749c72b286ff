from array import array
from collections.abc import Sequence
from dataclasses import dataclass

# Stands for the token that was drawn last in a slot, where the host does not know it yet.
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Rows:
    """What one forward pass runs: one row for each token, of any sequences, in order of position.

    Row i is the token `tokens[i]` at `positions[i]` of the sequence in slot `slots[i]`, whose keys and values
    lie in the blocks `tables[slot * table_length:]`. `wanted`: the rows whose logits are asked for.
    """

    tokens: Sequence[int]
    positions: Sequence[int]
    slots: Sequence[int]
    wanted: Sequence[int]
    tables: "array[int]"
    table_length: int
