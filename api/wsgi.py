"""The process: `gunicorn api.wsgi:app`."""

import signal
from types import FrameType

from api.app import create_app
from quire.settings import load_settings
from quire.telemetry import configure_logging

settings = load_settings()
configure_logging(service="api", level=settings.log_level)
app = create_app(settings)

# gunicorn stops at SIGTERM once all requests are answered: those that only wait are let go first.
stop = signal.getsignal(signal.SIGTERM)


def let_go_and_stop(number: int, frame: FrameType | None) -> None:
    app.extensions["quire"].waiting.dismiss()
    if callable(stop):
        stop(number, frame)


if callable(stop):
    signal.signal(signal.SIGTERM, let_go_and_stop)
