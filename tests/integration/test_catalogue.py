"""Which model a job gets that names none."""

import pytest

from quire import testing
from quire.asking.drafting import Catalogue
from quire.asking.request import Need
from quire.asking.tokenizing import Tokenizers
from quire.errors import ModelNotReady
from quire.testing import MODEL, Place

CATALOGUE = Catalogue(Tokenizers(), configured=(MODEL, "english", "chinese", "tunes"), default_model=MODEL)


@pytest.fixture
def models(place: Place) -> Place:
    with place.database.service() as session:
        testing.add_model(session, "chinese", tags=["<zh>", "<七绝>"])
        testing.add_model(session, "english", tags=["<en>", "<verse>"])
    return place


def found(place: Place, need: Need) -> str:
    with place.database.service() as session:
        return CATALOGUE.find(session, need).name


@pytest.mark.parametrize(
    ("tags", "name"),
    [(("<zh>", "<七绝>"), "chinese"), (("<en>", "<verse>"), "english"), (None, MODEL)],
)
def test_a_job_of_tags_gets_the_first_model_that_knows_them(
    models: Place, tags: tuple[str, str] | None, name: str
) -> None:
    assert found(models, Need(tags=tags)) == name


def test_tags_that_no_model_knows_get_the_first_model(models: Place) -> None:
    assert found(models, Need(tags=("<zh>", "<词>"))) == MODEL


def test_a_model_that_is_named_is_taken(models: Place) -> None:
    assert found(models, Need("english", tags=("<zh>", "<七绝>"))) == "english"


def test_music_waits_for_a_model_of_its_own(models: Place) -> None:
    with pytest.raises(ModelNotReady, match="kind music"):
        found(models, Need(kind="music"))
