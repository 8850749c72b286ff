"""Whatever an operator or an older version wrote, each parser gives a value or the error it names."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quire.crypto import KEY_BYTES, KeyRing
from quire.errors import ConfigurationError
from quire.settings import ModelSettings
from quire.spec import Input, Parameters, Spec

entries = st.builds(
    "{}:{}".format,
    st.text(max_size=5) | st.just("a"),
    st.text(max_size=10) | st.binary(min_size=30, max_size=34).map(lambda key: base64.b64encode(key).decode()),
)


@given(st.text(max_size=100) | st.lists(entries, max_size=4).map(",".join))
def test_any_text_is_a_ring_or_refused_without_telling_it(text: str) -> None:
    told = ""
    try:
        ring = KeyRing.parse(text)
    except ConfigurationError as error:
        told = str(error)
    if told:
        secrets = [part.partition(":")[2] for part in text.split(",")]
        assert not any(len(secret) >= 16 and secret in told for secret in secrets)
        return
    assert ring.active == text.strip(" ,").partition(":")[0].strip() or ring.active in text
    assert all(len(key.secret) == KEY_BYTES for key in ring._masters.values())


@given(
    st.text(max_size=80)
    | st.lists(st.builds("{}={}".format, st.text(max_size=6), st.text(max_size=6))).map(",".join)
)
def test_any_list_of_models_is_read_or_refused(text: str) -> None:
    try:
        models = ModelSettings(models=text).models  # type: ignore[arg-type]
    except ValidationError:
        return
    assert models
    assert all(name == name.strip() and source == source.strip() for name, source in models.items())
    assert all(models.items())


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_spec_or_refused(data: bytes) -> None:
    try:
        spec = Spec.decode(data)
    except ValidationError:
        return
    assert Spec.decode(spec.encode()) == spec


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
specs = st.builds(
    Spec,
    input=st.builds(Input, prompt=texts, title=st.none() | texts, theme=st.none() | texts),
    parameters=st.builds(
        Parameters,
        n=st.integers(1, 16),
        best_of=st.none(),
        max_tokens=st.integers(1, 10_000),
        min_tokens=st.just(0),
        temperature=st.floats(0, 2),
        top_k=st.integers(0, 1000),
        stop=st.lists(texts.filter(bool), max_size=8),
        banned=st.just([]),
        logit_bias=st.dictionaries(st.integers(0, 999).map(str), st.floats(-100, 100), max_size=5),
        logprobs=st.none() | st.integers(0, 5),
    ),
)


@given(specs)
def test_a_spec_goes_there_and_back(spec: Spec) -> None:
    assert Spec.decode(spec.encode()) == spec


def test_a_ring_says_what_it_expects() -> None:
    with pytest.raises(ConfigurationError, match="expected name:base64"):
        KeyRing.parse("no colon")
