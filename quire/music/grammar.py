"""The grammar of a tune's body, read character by character: bars, pickups, repeats, endings, and the end.

    body     ::= section+            of as many bars as were asked for, pickups and second endings not counted
    section  ::= ["|:"] [pickup "|"] bar ("|" bar)* close
    close    ::= ":|"  |  "|[1" bar ":|[2" bar "|"  |  "|"  |  "|]" at the end of the tune

A pickup has the same length in all sections, at most half a bar, and the last bar of each section is shorter by
it, so that what is repeated fits. Sections end after multiples of four bars, or with the tune. A section that
begins with |: ends with :| or with two endings; one that does not may, unless there were endings before it, for
readers do not agree from where it would be repeated. After a barline stands at most one blank or line end.

Every state that can be reached leads to the end. `bound` says within how many characters.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from quire.music.bar import PENDING, At, Bars, Inside
from quire.music.keys import Key
from quire.music.lengths import fewest
from quire.music.meters import Meter

UNKNOWN = -1
PHRASE = 4  # bars
FEWEST_BARS = 2
CLOSING = 3  # characters: what the last bar's end has beside its barline, and the end of the text


@dataclass(frozen=True)
class Form:
    """What a tune is asked to be."""

    meter: Meter
    key: Key
    bars: int  # at least FEWEST_BARS
    accidentals: bool = False


class Place(StrEnum):
    """What was read last."""

    BEGIN = "begin"  # nothing
    INSIDE = "inside"  # something of a bar
    PIPE = "pipe"  # |
    OPENING = "opening"  # the | of |:
    COLON = "colon"  # the first of :|
    OPENED = "opened"  # |:
    REPEATED = "repeated"  # :|
    BRACKET = "bracket"  # the [ of an ending
    NUMBER = "number"  # of an ending
    WHITE = "white"  # a blank or line end after one of those
    END = "end"


class State(NamedTuple):
    """A place in a tune."""

    left: int  # bars to be closed, this one included
    phrase: int  # bars closed, modulo PHRASE
    inside: Inside
    at: Place = Place.BEGIN
    pickup: int = UNKNOWN  # ticks
    in_pickup: bool = False
    repeat: bool = False  # the section began with |:
    ending: int = 0  # 1 or 2 in the bar of an ending
    signed: bool = False  # there were endings: from then on what is repeated begins with |:
    after: str = ":"  # signs that may still follow a barline: ":" of a |:, "[" of an ending, "]" of the end
    plain: bool = True  # whether the bar may begin; else one of those must follow


class Grammar:
    """The states of one form. `loose`: for reading what people write, see `Bars`."""

    def __init__(self, form: Form, *, loose: bool = False) -> None:
        self.form = form
        self._full = form.meter.bar
        self._bars = Bars(form.key, accidentals=form.accidentals, loose=loose)
        self.start = State(left=form.bars, phrase=0, inside=Inside(0, self._full))
        self.step = lru_cache(maxsize=20_000)(self._step)
        self.bound = lru_cache(maxsize=20_000)(self._bound)

    @property
    def least(self) -> int:
        """Characters of the shortest tune."""
        return self.bound(self.start)

    def read(self, text: str, state: State | None = None) -> State | None:
        """Read characters; None if one of them must not stand where it does."""
        at: State | None = state or self.start
        for char in text:
            at = at and self.step(at, char)
        return at

    def per_bar(self, pickup: int) -> int:
        """Return the characters of one bar and its barline, at the least that always does."""
        short = self._full - max(pickup, 0)
        return 1 + max(fewest(0, self._full), fewest(0, short))

    def _bound(self, state: State) -> int:
        """Return the characters, the end of the text counted as one, in which the tune can be ended from here."""
        if state.at is Place.END:
            return 1
        if state.at is Place.COLON:
            return 1 + self._next_bound(state, "|")
        if state.at is Place.BRACKET:
            return 1 + self._next_bound(state, "2" if state.ending else "1")
        if state.ending == 1 and state.after == "[":  # :| is read, and what comes is the second ending
            return 1 + self._next_bound(state, "[")
        if state.at is Place.OPENING:
            return 1 + self.bound(self._opened(state))
        if state.at in {Place.PIPE, Place.WHITE} and not state.plain:
            if state.after == "]":
                return 1 + 1
            return (1 if state.at is Place.PIPE else 2) + self.bound(self._opened(state))
        bar = self._bars.cost(state.inside)
        per_bar = self.per_bar(state.pickup)
        if state.in_pickup:
            return bar + 1 + per_bar * state.left + CLOSING
        # Behind two endings comes the pickup again, where there is one.
        opening = fewest(0, state.pickup) + 1 if state.pickup > 0 and state.left > 1 else 0
        # A blank may be needed before a colon, and one that stands there already is not needed again.
        blank = state.inside.at is not At.BLANK or state.inside.left > 0
        if state.ending == 1:
            return bar + 4 + blank + per_bar * state.left + opening + CLOSING
        if state.ending == 2:
            return bar + 1 + per_bar * (state.left - 1) + opening + CLOSING
        if state.left == 1:
            return bar + blank + CLOSING
        return bar + 1 + per_bar * (state.left - 1) + CLOSING

    def _next_bound(self, state: State, char: str) -> int:
        after = self.step(state, char)
        if after is None:
            raise LookupError(f"{char} does not follow {state}")
        return self.bound(after)

    def _step(self, state: State, char: str) -> State | None:
        """Read one character; None if it must not stand there."""
        match state.at:
            case Place.PIPE | Place.REPEATED | Place.WHITE if char == "[":
                return state._replace(at=Place.BRACKET) if "[" in state.after else None
            case Place.PIPE:
                return self._after_pipe(state, char)
            case Place.COLON:
                return self._repeated(state) if char == "|" else None
            case Place.BRACKET:
                return self._numbered(state, char)
            case Place.INSIDE if char == "|":
                return self._closed(state)
            case Place.INSIDE if char == ":":
                return self._colon(state)
            case Place.BEGIN | Place.REPEATED | Place.WHITE if char == "|":
                return state._replace(at=Place.OPENING) if ":" in state.after else None
            case Place.OPENING:
                return self._opened(state) if char == ":" else None
            case Place.OPENED | Place.NUMBER if char == " ":
                return state._replace(at=Place.WHITE, after="", plain=True)
            case Place.REPEATED if char in {" ", "\n"}:
                return state._replace(at=Place.WHITE)
        return self._into_bar(state, char)

    def _after_pipe(self, state: State, char: str) -> State | None:
        if char in {":", "]"} and char in state.after:
            if char == ":":
                return self._opened(state)
            return state._replace(at=Place.END)
        if char in {" ", "\n"} and (state.plain or state.after != "]"):
            return state._replace(at=Place.WHITE)
        return self._into_bar(state, char)

    def _into_bar(self, state: State, char: str) -> State | None:
        if not state.plain or state.at is Place.END:
            return None
        inside = self._bars.step(state.inside, char)
        return inside and state._replace(inside=inside, at=Place.INSIDE, after="", plain=True)

    def _closed(self, state: State) -> State | None:
        """Read the | after a bar."""
        inside = self._bars.closed(state.inside)
        if inside is None:
            return None
        ticks = inside.position
        if state.in_pickup:
            return self._next_bar(state, after="", plain=True) if ticks == state.pickup else None
        if state.pickup == UNKNOWN and ticks < self._full:
            may = 0 < ticks <= self._full // 2 and ticks % 6 == 0
            return self._next_bar(state._replace(pickup=ticks), after="", plain=True) if may else None
        state = state._replace(pickup=max(state.pickup, 0))
        full, short = ticks == self._full, ticks == self._full - state.pickup
        if state.ending == 1 or not (full or short):
            return None
        closed = state._replace(left=state.left - 1, phrase=(state.phrase + 1) % PHRASE)
        if closed.left == 0:
            may = short and not (state.repeat and not state.ending)
            return closed._replace(at=Place.PIPE, after="]", plain=False) if may else None
        if state.ending == 2:
            return self._section(closed._replace(at=Place.PIPE, after=":", plain=True)) if short else None
        ends = short and closed.phrase == 0 and not state.repeat
        if ends and not full:  # the pickup of the next section makes this bar whole
            return self._section(closed._replace(at=Place.PIPE, after=":", plain=True))
        after = ":" if ends else ""
        if full and (closed.left == 1 or closed.phrase == PHRASE - 1) and (state.repeat or not state.signed):
            after += "["
        return self._next_bar(closed, after=after, plain=True) if full else None

    def _colon(self, state: State) -> State | None:
        """Read the first character of :| after the last bar of a section."""
        inside = self._bars.closed(state.inside)
        # One letter and a colon at the beginning of a line would be a field of the header.
        letter_alone = state.inside.at in PENDING and state.inside.position == 0 and not state.inside.length
        if inside is None or state.in_pickup or state.ending == 2 or letter_alone:
            return None
        pickup = max(state.pickup, 0)
        last = state.left == 1 or state.phrase == PHRASE - 1
        if state.signed and not (state.repeat or state.ending):
            return None
        if not last or inside.position != self._full - pickup:
            return None
        return state._replace(at=Place.COLON, pickup=pickup, inside=inside)

    def _repeated(self, state: State) -> State:
        """Read the second character of :|."""
        if state.ending == 1:
            return state._replace(at=Place.REPEATED, after="[", plain=False)
        closed = state._replace(left=state.left - 1, phrase=(state.phrase + 1) % PHRASE)
        if closed.left == 0:
            return closed._replace(at=Place.END)
        return self._section(closed._replace(at=Place.REPEATED, after=":", plain=True))

    def _opened(self, state: State) -> State:
        """Read the second character of |:."""
        return self._section(state)._replace(at=Place.OPENED, repeat=True, after="", plain=True)

    def _section(self, state: State) -> State:
        """Begin a section, with the tune's pickup if it has one."""
        state = state._replace(repeat=False, ending=0, in_pickup=state.pickup > 0)
        return state._replace(inside=self._bar(state))

    def _next_bar(self, state: State, *, after: str, plain: bool) -> State:
        state = state._replace(at=Place.PIPE, in_pickup=False, after=after, plain=plain)
        return state._replace(inside=self._bar(state))

    def _bar(self, state: State) -> Inside:
        """Return the beginning of the bar that is to come."""
        if state.in_pickup:
            return Inside(0, state.pickup)
        last = state.left == 1 or state.ending > 0
        return Inside(0, self._full - max(state.pickup, 0) if last else self._full)

    def _numbered(self, state: State, char: str) -> State | None:
        """Read the number of an ending."""
        if char != ("2" if state.ending else "1"):
            return None
        begun = state._replace(at=Place.NUMBER, ending=int(char), signed=True, after="", plain=True)
        return begun._replace(inside=self._bar(begun))


def strictly(state: State) -> State:
    """Return a state of a loose grammar as one of a strict one, in which the tune goes on."""
    return state._replace(inside=state.inside._replace(letter=""))
