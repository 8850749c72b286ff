"""Scenes of plays in Markdown, in the form `NAME. speech`."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from training.text.verse import PLAIN

SCENE = re.compile(r"^###\s*(?:SCENE|PROLOGUE|EPILOGUE|INDUCTION)\s*\w*\.?\s*", re.IGNORECASE)
SPEAKER = re.compile(r"^\*\*(.+?)\*\*\s*$")
DIRECTION = re.compile(r"^_(.+?)_\s*$")


@dataclass(frozen=True)
class Scene:
    """A scene: where it plays, and its speeches and stage directions in order."""

    place: str
    parts: tuple[str, ...]


def scenes(text: str) -> Iterator[Scene]:
    """Cut a play into scenes."""
    for section in re.split(r"(?m)^(?=#)", text):
        lines = section.splitlines()
        if not lines or not lines[0].startswith("###"):
            continue
        place = SCENE.sub("", lines[0]).translate(PLAIN).strip(" .#")
        parts = list(scene_parts(lines[1:]))
        if parts:
            yield Scene(place, tuple(parts))


def scene_parts(lines: list[str]) -> Iterator[str]:
    """Speeches as `NAME. first line` and further lines, directions in brackets."""
    speech: list[str] = []
    name = ""
    for raw in [*lines, "**END**"]:
        line = " ".join(raw.split())
        speaker, direction = SPEAKER.match(line), DIRECTION.match(line)
        if speaker or direction:
            if speech:
                yield "\n".join(speech)
            speech, name = [], speaker[1].upper().rstrip(".") if speaker else ""
            if direction:
                yield f"[{direction[1].translate(PLAIN).strip()}]"
        elif line:
            spoken = re.sub(r"_\(?(.+?)\)?_", r"[\1]", line).translate(PLAIN)
            speech.append(f"{name}. {spoken}" if not speech and name else spoken)


def passages(scene: Scene, shortest: int, longest: int, draw: random.Random) -> Iterator[str]:
    """Pieces of a scene of a drawn length, in characters, cut between speeches."""
    parts: list[str] = []
    size, wanted = 0, draw.randint(shortest, longest)
    for part in [*scene.parts, None]:
        if parts and (part is None or size >= wanted or size + len(part) > longest):
            if size >= shortest:
                yield "\n".join(parts)
            parts, size, wanted = [], 0, draw.randint(shortest, longest)
        if part is not None and len(part) <= longest:
            parts.append(part)
            size += len(part)
