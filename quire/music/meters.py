"""Meters, and the unit in which lengths are counted here."""

from dataclasses import dataclass

TICKS_OF_WHOLE = 96  # the least that holds thirty-seconds and triplets of sixteenths
EIGHTH = TICKS_OF_WHOLE // 8  # L:1/8, the length of a note without a number

NAMES = {"C": "4/4", "C|": "2/2"}


@dataclass(frozen=True)
class Meter:
    """A time signature."""

    beats: int
    unit: int  # the part of a whole note that one beat is

    @property
    def bar(self) -> int:
        """Ticks of a bar."""
        return self.beats * TICKS_OF_WHOLE // self.unit

    @property
    def pulse(self) -> int:
        """Ticks of what a foot taps, which tempi count: a dotted quarter in 6/8, a half in 2/2."""
        if self.unit == 8 and self.beats % 3 == 0:
            return 3 * EIGHTH
        return TICKS_OF_WHOLE // self.unit

    def __str__(self) -> str:
        return f"{self.beats}/{self.unit}"


METERS = {
    str(meter): meter
    for meter in (
        Meter(2, 4), Meter(3, 4), Meter(4, 4), Meter(6, 4), Meter(2, 2), Meter(3, 2),
        Meter(3, 8), Meter(6, 8), Meter(9, 8), Meter(12, 8),
    )
}  # fmt: skip


def parse(text: str) -> Meter | None:
    """Read a meter, `C` and `C|` too; None if it is not one of those known here."""
    return METERS.get(NAMES.get(text, text))
