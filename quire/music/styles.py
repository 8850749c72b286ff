"""Styles: the meters that each can have, the usual one first, and how fast it goes."""

from dataclasses import dataclass

from quire.music.meters import METERS, Meter


@dataclass(frozen=True)
class Style:
    name: str
    meters: tuple[Meter, ...]
    tempo: int  # pulses a minute


def _style(name: str, meters: str, tempo: int) -> Style:
    return Style(name, tuple(METERS[meter] for meter in meters.split()), tempo)


STYLES = {
    style.name: style
    for style in (
        _style("jig", "6/8", 112),
        _style("slip jig", "9/8", 112),
        _style("slide", "12/8", 120),
        _style("reel", "4/4 2/2 2/4", 180),
        _style("hornpipe", "4/4 2/2 2/4 3/2", 160),
        _style("strathspey", "4/4 2/2", 132),
        _style("fling", "4/4 2/2", 144),
        _style("clog", "4/4 2/2", 144),
        _style("polka", "2/4", 120),
        _style("march", "4/4 2/4 2/2 6/8", 104),
        _style("country dance", "2/4 6/8 4/4 2/2 9/8", 120),
        _style("waltz", "3/4 3/8", 144),
        _style("minuet", "3/4 3/8", 108),
        _style("air", "4/4 3/4 6/8 2/4 2/2 9/8 3/8 6/4", 80),
        _style("song", "4/4 3/4 6/8 2/4 2/2 9/8 3/8 6/4", 92),
    )
}
