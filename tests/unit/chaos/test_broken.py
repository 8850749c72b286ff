"""The broken builds are broken where they say, as long as the sources still say what the edit replaces."""

from pathlib import Path

import pytest

from chaos import broken
from chaos.broken import BREAKAGES, Breakage, Unfit, broken_copy
from quire.settings import REPOSITORY


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_copy_differs_in_one_file_alone(tmp_path: Path, name: str) -> None:
    broken_copy(name, tmp_path)

    sources = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.py")]
    changed = [path for path in sources if (tmp_path / path).read_bytes() != (REPOSITORY / path).read_bytes()]
    assert [str(path) for path in changed] == [BREAKAGES[name].file]


def test_an_edit_that_no_longer_fits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfit = Breakage("quire/ids.py", (("what was never there", ""),), ())
    monkeypatch.setitem(broken.BREAKAGES, "unfit", unfit)

    with pytest.raises(Unfit, match="has 0 times"):
        broken_copy("unfit", tmp_path)
