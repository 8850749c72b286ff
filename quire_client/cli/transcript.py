"""The text of a running job as one stream that only grows."""

from quire_client.cli.text import SEPARATOR
from quire_client.job import Job


class Transcript:
    """Pieces are written side by side but read one after the other: the next begins when one is done."""

    def __init__(self) -> None:
        self.told = ""

    def grow(self, job: Job) -> str:
        """Return what is new since the last call."""
        now = _readable(job)
        # If another text took the place of the one shown, all of it is new.
        new = now.removeprefix(self.told) if now.startswith(self.told) else SEPARATOR + now
        self.told = now
        return new


def _readable(job: Job) -> str:
    texts = []
    for piece in job.pieces:
        texts.append(piece.text)
        if not (piece.finish_reason or job.is_terminal):
            break
    return SEPARATOR.join(texts)
