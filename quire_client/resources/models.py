"""Models: what the server's workers can run."""

from quire_client.connection import Connection, read
from quire_client.values import Model, Page


class Models:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> tuple[Model, ...]:
        """Return every model that some worker has loaded; `workers` counts those alive."""
        response = self._connection.send("GET", "models")
        return read(response, lambda data: Page.parse(data, Model.parse)).data
