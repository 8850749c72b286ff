"""Music jobs at the API's door, and one that is done with its files."""

from typing import Any

from quire import testing
from quire.artifacts import PART, Made
from quire.testing import Place
from tests.contract.client import Api
from tests.contract.working import FakeWorker, words

MODEL = "tunes"
SOUND = bytes(range(256)) * (PART // 256) + b"and a second part"  # of 256 kB and a little more
FILES = (
    Made(0, "abc", b"X:1\nT:A Tune\nK:G\nGABc|]\n"),
    Made(0, "midi", b"MThd\0\0\0\6"),
    Made(0, "wav", SOUND),
    Made(0, "svg", unavailable="verovio is not installed there."),
)


def add_tunes(place: Place, *, renders: tuple[str, ...] = ("abc", "midi", "wav"), context: int = 512) -> None:
    """Register a model for music."""
    with place.database.service() as session:
        testing.add_model(session, MODEL, kind="music", renders=renders, context_length=context)


def tune(api: Api, **body: Any) -> dict[str, Any]:
    return api.submitted(kind="music", **{"style": "jig"} | body)


def finished_tune(api: Api, place: Place) -> str:
    """Return the id of a music job that is done."""
    add_tunes(place)
    job = tune(api)["id"]
    worker = FakeWorker(place, MODEL)
    worker.claim()
    worker.keep(job, *FILES)
    worker.finish(job, words("GABc|]", finish="stop"))
    return str(job)
