"""Which tunes are the same tune, or nearly: by intervals and durations, whatever the key."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from training.tunes.notes import Tune, pitches

LENGTH = 8
"""Notes of a phrase; two tunes that share many are kin."""
COMMON = 40
"""A phrase that more tunes than this have is nobody's own."""


def intervals(tune: Tune) -> list[int]:
    """Semitones from each sounding note to the next."""
    sounding = pitches(tune)
    return [after - before for before, after in pairwise(sounding)]


def phrases(tune: Tune) -> set[int]:
    """Hashes of every run of `LENGTH` intervals."""
    steps = intervals(tune)
    return {hash(tuple(steps[i : i + LENGTH])) for i in range(len(steps) - LENGTH + 1)}


def unique(tunes: Sequence[Tune]) -> list[int]:
    """Places of the tunes whose melody did not occur before, in any key."""
    seen: set[tuple[int, ...]] = set()
    kept = []
    for place, tune in enumerate(tunes):
        melody = tuple(intervals(tune))
        if melody not in seen:
            seen.add(melody)
            kept.append(place)
    return kept


def families(tunes: Sequence[Tune], least: float) -> list[int]:
    """A family number for each tune: tunes that share at least `least` of the shorter one's phrases are kin."""
    own = [phrases(tune) for tune in tunes]
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for place, mine in enumerate(own):
        for phrase in mine:
            holders[phrase].append(place)
    family = list(range(len(tunes)))

    def root(place: int) -> int:
        while family[place] != place:
            family[place] = family[family[place]]
            place = family[place]
        return place

    for place, mine in enumerate(own):
        shared: Counter[int] = Counter()
        for phrase in mine:
            if len(holders[phrase]) <= COMMON:
                shared.update(other for other in holders[phrase] if other < place)
        for other, count in shared.items():
            if count >= least * min(len(mine), len(own[other])):
                family[root(place)] = root(other)
    return [root(place) for place in range(len(tunes))]
