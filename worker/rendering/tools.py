"""The programs that artifacts need, as they are found on this machine."""

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOUNDFONTS = (
    "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
    "/usr/share/sounds/sf3/MuseScore_General.sf3",
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/TimGM6mb.sf2",
    "/usr/share/sounds/sf3/default-GM.sf3",
    "/usr/share/sounds/sf2/default-GM.sf2",
)
INSTALL_FLUIDSYNTH = "fluidsynth is not installed there: see Music in docs/operations.md"
INSTALL_SOUNDFONT = "there is no soundfont there: see Music in docs/operations.md"
INSTALL_VEROVIO = "verovio is not installed there: see Music in docs/operations.md"


@dataclass(frozen=True)
class Tools:
    """What is there. A reason stands for what is not."""

    fluidsynth: str | None
    soundfont: str | None
    engraver: Sequence[str] | None

    def missing(self, kind: str) -> str | None:
        """Return why a kind of artifact cannot be made here; None if it can."""
        if kind == "wav":
            return INSTALL_FLUIDSYNTH if not self.fluidsynth else INSTALL_SOUNDFONT if not self.soundfont else None
        if kind == "svg":
            return None if self.engraver else INSTALL_VEROVIO
        return None

    @property
    def renders(self) -> list[str]:
        """The kinds of artifacts that can be made here."""
        return [kind for kind in ("abc", "midi", "wav", "svg") if self.missing(kind) is None]


def find_tools(soundfont: Path | None) -> Tools:
    """Look for everything; `soundfont` is the operator's choice before those of the system's packages."""
    candidates = [str(soundfont)] if soundfont else SOUNDFONTS
    verovio = importlib.util.find_spec("verovio") is not None
    return Tools(
        fluidsynth=shutil.which("fluidsynth"),
        soundfont=next((path for path in candidates if Path(path).is_file()), None),
        engraver=(sys.executable, "-m", "worker.rendering.engraving") if verovio else None,
    )
