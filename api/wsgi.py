"""The process: `gunicorn api.wsgi:app`."""

from api.app import create_app
from quire.settings import Settings
from quire.telemetry import configure_logging

settings = Settings()
configure_logging(service="api", level=settings.log_level)
app = create_app(settings)
