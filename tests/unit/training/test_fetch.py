import hashlib
import os
import pickle
from io import BytesIO
from pathlib import Path

import pytest

from training import config, fetch
from training.text import inert, verse


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_a_hostile_pickle_is_refused() -> None:
    stream = BytesIO(pickle.dumps(Hostile()))

    with pytest.raises(pickle.UnpicklingError, match="system, which is not allowed"):
        inert.read(stream)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_builtin_function_is_refused_in_every_protocol(protocol: int) -> None:
    stream = BytesIO(pickle.dumps(eval, protocol))

    with pytest.raises(pickle.UnpicklingError, match="eval, which is not allowed"):
        inert.read(stream)


def test_an_allowed_name_becomes_an_inert_record_and_is_not_called() -> None:
    stream = BytesIO(pickle.dumps(slice(1, 2)))

    record = inert.read(stream)

    assert isinstance(record, inert.Inert)
    assert record.args == (1, 2, None)


def test_a_dotted_path_through_an_allowed_module_is_refused() -> None:
    stream = BytesIO(b"\x80\x04\x8c\x08builtins\x8c\x10slice.__subclasses__\x93.")

    with pytest.raises(pickle.UnpicklingError):
        inert.read(stream)


def test_content_with_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"verse")

    with pytest.raises(fetch.WrongContentError, match=r"a\.whl: expected sha256 00"):
        fetch.checked(tmp_path / "a.whl", "00")


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"verse")
    sha256 = hashlib.sha256(b"verse").hexdigest()
    package = config.Package("no client", "a", "1", "a.whl", sha256, "")

    assert fetch.download(package, tmp_path) == tmp_path / "a.whl"


def frame(items: list[str], shape: tuple[int, int]) -> inert.Inert:
    values = inert.Inert()
    values.state = (1, shape, None, False, items)
    manager = inert.Inert()
    manager.state = (None, None, None, {"0.14.1": {"blocks": [{"values": values}]}})
    record = inert.Inert()
    record.state = {"_data": manager}
    return record


def test_the_text_column_is_the_first_half_of_the_object_block() -> None:
    lines = verse.text_column(frame(["a line", "another", "iamb", "trochee"], (2, 2)))

    assert lines == ["a line", "another"]


def test_a_frame_of_another_shape_is_refused() -> None:
    with pytest.raises(verse.WrongContentError, match="no text column"):
        verse.text_column(frame(["a line"], (2, 2)))
