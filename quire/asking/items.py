"""From the entries of a batch to its items: checked, composed and sealed, one by one."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from quire.asking.drafting import ChosenModel, check_fits_a_day, drafted
from quire.asking.entries import SentItem
from quire.asking.request import BatchItem, Need
from quire.asking.validation import MAX_PROBLEMS, checked
from quire.batches import Item
from quire.crypto import DataKey
from quire.errors import BadRequest, FieldProblem, InvalidField
from quire.jobs import Submission
from quire.quotas import Quotas
from quire.store import Batch

Find = Callable[[Need], ChosenModel]


@dataclass(frozen=True)
class Owner:
    """Whose batch it is, and what is needed to seal and admit its items."""

    tenant_id: UUID
    key: DataKey
    quotas: Quotas


def read_items(
    find: Find,
    owner: Owner,
    batch: Batch,
    entries: Iterable[SentItem],
    most: int,
    *,
    most_problems: int = MAX_PROBLEMS,
) -> Iterator[Item]:
    """Yield the items of a batch; the first problem ends that, and further ones are only looked for.

    Raises:
        InvalidField: some entries are at fault, or there are more than `most`; the first problems are named.
        ModelNotReady: no worker has ever loaded a model that an item needs.

    """
    problems: list[FieldProblem] = []
    reader = ItemReader(find, owner, batch)
    for number, entry in enumerate(entries):
        if number >= most:
            raise InvalidField.one("items", f"A batch has at most {most:,}")
        try:
            item = reader.read(number, entry)
        except BadRequest as error:
            problems += entry.blame(error)
            if len(problems) >= most_problems:
                break
            continue
        if not problems:
            yield item
    if problems:
        first = problems[0]
        where = f"line {first.line}: " if first.line is not None else ""
        what = f"{first.field}: {first.message}" if first.field else first.message
        raise InvalidField(f"{where}{what}", fields=tuple(problems[:most_problems]))


class ItemReader:
    """Makes items of entries; knows the models and the custom ids seen so far."""

    def __init__(self, find: Find, owner: Owner, batch: Batch) -> None:
        self._find, self._owner, self._batch = find, owner, batch
        self._models: dict[Need, ChosenModel] = {}
        self._seen: set[str] = set()

    def read(self, number: int, entry: SentItem) -> Item:
        if entry.value is None:
            raise entry.error or BadRequest
        wanted = checked(BatchItem, dict(entry.value))
        if wanted.custom_id is not None:
            if wanted.custom_id in self._seen:
                raise InvalidField.one("custom_id", "Another item of this batch has the same")
            self._seen.add(wanted.custom_id)
        return Item(number, wanted.custom_id, self._draft(number, wanted))

    def _draft(self, number: int, wanted: BatchItem) -> Submission:
        if wanted.need not in self._models:
            self._models[wanted.need] = self._find(wanted.need)
        owner, model = self._owner, self._models[wanted.need]
        job = drafted(self._batch.job(number), owner.tenant_id, owner.key, wanted, model)
        check_fits_a_day(job, owner.quotas)
        most = self._owner.quotas.max_tokens_per_day
        if most is not None and job.reserved > most:
            message = f"It may cost {job.reserved} tokens, more than the tenant's {most} of a whole day"
            raise InvalidField.one("max_tokens", message)
        return job
