"""From a query string to a checked value, or to an error that names every parameter at fault."""

from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict

from quire.asking.validation import MAX_NAME, invalid
from quire.errors import InvalidField

Checked = TypeVar("Checked", bound=BaseModel)


def checked_query(model: type[Checked], arguments: MultiDict[str, str]) -> Checked:
    """Check a query string, in which all is text.

    Raises:
        InvalidField: a parameter is unknown, out of range, or given twice where one is meant.

    """
    data: dict[str, Any] = {}
    for name, values in arguments.lists():
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            data[name] = values
        elif len(values) > 1:
            raise InvalidField.one(name[:MAX_NAME], "Given more than once")
        else:
            data[name] = values[0]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid(model, error) from None
