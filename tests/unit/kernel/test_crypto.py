import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.crypto import DataKey, KeyRing, WrappedKey, new_master_key
from quire.errors import ConfigurationError, UndecryptableError

KEY = DataKey(bytes(32))
TENANT, OTHER = UUID(int=1), UUID(int=2)
SECRET = base64.b64encode(bytes(range(32))).decode()
SHORT = base64.b64encode(bytes(31)).decode()


@given(st.binary(max_size=1000), st.text(max_size=50))
def test_what_is_sealed_opens_at_its_place(plaintext: bytes, place: str) -> None:
    assert KEY.open(KEY.seal(plaintext, place), place) == plaintext


def test_a_seal_does_not_show_what_it_holds() -> None:
    assert b"heron" not in KEY.seal(b"a heron", "here")


def test_the_same_text_is_never_sealed_the_same() -> None:
    assert KEY.seal(b"text", "here") != KEY.seal(b"text", "here")


def test_a_seal_does_not_open_at_another_place() -> None:
    with pytest.raises(UndecryptableError, match="there"):
        KEY.open(KEY.seal(b"text", "here"), "there")


def test_a_seal_does_not_open_with_another_key() -> None:
    with pytest.raises(UndecryptableError):
        DataKey(bytes(31) + b"1").open(KEY.seal(b"text", "here"), "here")


@given(st.binary(max_size=40), st.data())
def test_a_seal_with_one_bit_changed_does_not_open(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(KEY.seal(plaintext, "here"))
    index = data.draw(st.integers(0, len(sealed) - 1))
    sealed[index] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(UndecryptableError):
        KEY.open(bytes(sealed), "here")


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27])
def test_what_is_too_short_for_a_seal_does_not_open(length: int) -> None:
    with pytest.raises(UndecryptableError):
        KEY.open(bytes(length), "here")


def test_a_fingerprint_tells_equal_messages() -> None:
    assert KEY.fingerprint(b"body") == KEY.fingerprint(b"body")
    assert KEY.fingerprint(b"body") != KEY.fingerprint(b"other")


def test_a_fingerprint_depends_on_the_key() -> None:
    assert KEY.fingerprint(b"body") != DataKey(bytes(31) + b"1").fingerprint(b"body")


# ---- the ring ----------------------------------------------------------------------------------------------


def ring(*names: str) -> KeyRing:
    """A ring whose keys are the same in every ring."""
    return KeyRing({name: name.encode().ljust(32, b".") for name in names})


def test_a_data_key_opens_what_it_sealed_after_being_wrapped() -> None:
    wrapped = ring("a").new_data_key(TENANT)
    sealed = ring("a").unwrap(wrapped, TENANT).seal(b"text", "here")

    assert ring("a").unwrap(wrapped, TENANT).open(sealed, "here") == b"text"


def test_the_newest_master_key_wraps() -> None:
    assert ring("b", "a").new_data_key(TENANT).master == "b"


def test_an_older_master_key_still_unwraps() -> None:
    wrapped = ring("a").new_data_key(TENANT)

    assert ring("b", "a").unwrap(wrapped, TENANT) == ring("a").unwrap(wrapped, TENANT)


def test_a_rewrapped_data_key_is_the_same_key_under_the_newest_master() -> None:
    wrapped = ring("a").new_data_key(TENANT)

    again = ring("b", "a").rewrap(wrapped, TENANT)

    assert again.master == "b"
    assert ring("b").unwrap(again, TENANT) == ring("a").unwrap(wrapped, TENANT)


def test_a_data_key_whose_master_key_is_gone_names_it() -> None:
    wrapped = ring("a").new_data_key(TENANT)

    with pytest.raises(UndecryptableError, match="a is not in QUIRE_MASTER_KEYS"):
        ring("b").unwrap(wrapped, TENANT)


def test_a_data_key_does_not_open_for_another_tenant() -> None:
    with pytest.raises(UndecryptableError):
        ring("a").unwrap(ring("a").new_data_key(TENANT), OTHER)


def test_a_master_key_of_the_same_name_with_other_bytes_does_not_open() -> None:
    wrapped = ring("a").new_data_key(TENANT)

    with pytest.raises(UndecryptableError):
        KeyRing({"a": bytes(32)}).unwrap(WrappedKey("a", wrapped.sealed), TENANT)


# ---- the setting -------------------------------------------------------------------------------------------


def test_a_ring_is_read_from_names_and_keys() -> None:
    assert KeyRing.parse(f"b:{SECRET}, a:{SECRET},").active == "b"


@pytest.mark.parametrize(
    "text",
    ["", " , ", "a", "a:", f":{SECRET}", SECRET, f"a:{SHORT}", "a:not base64!", f"a:{SECRET},b:", f"a:{SECRET}x"],
)
def test_a_malformed_ring_is_refused_by_the_name_of_the_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match="QUIRE_MASTER_KEYS"):
        KeyRing.parse(text)


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the name a stands twice"):
        KeyRing.parse(f"a:{SECRET},a:{SECRET}")


def test_a_malformed_ring_does_not_show_the_key_in_its_error() -> None:
    with pytest.raises(ConfigurationError) as refused:
        KeyRing.parse(f"a:{SECRET}x")

    assert SECRET not in str(refused.value)


def test_a_new_master_key_makes_a_ring() -> None:
    assert KeyRing.parse(new_master_key("fresh")).active == "fresh"
