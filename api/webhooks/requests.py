"""What is sent of webhooks: endpoints, and changes of them."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.schemas import Request
from quire.asking.fields import Name, wrong
from quire.webhooks import events


def _known(name: str) -> str:
    if name not in events.NAMES:
        raise wrong(f"There is no such event; there are {', '.join(events.NAMES)}")
    return name


EventName = Annotated[str, Field(max_length=64), AfterValidator(_known)]
Events = Annotated[list[EventName], Field(min_length=1, max_length=len(events.NAMES))]
Url = Annotated[str, Field(min_length=1, max_length=2000)]


class EndpointRequest(Request):
    url: Url = Field(description="Where events are posted to, over https.")
    events: Events = Field(default=[events.ALL], description="Which: names, as batch.completed, batch.*, or *.")
    description: Name | None = None


class EndpointChange(Request):
    """What is left out, or null, stays."""

    url: Url | None = None
    events: Events | None = None
    description: Name | None = None
    enabled: bool | None = None


class RotateRequest(Request):
    overlap_hours: int = Field(default=24, ge=0, le=168, description="So long the secret before signs as well.")
