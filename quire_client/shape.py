"""JSON into dataclasses. Unknown fields are ignored, so a newer server does no harm."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]


def known(cls: type, data: Json) -> dict[str, Any]:
    """Keep what `cls` has a field for; a null stands for the field's own default."""
    return {item.name: data[item.name] for item in fields(cls) if data.get(item.name) is not None}


def time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
