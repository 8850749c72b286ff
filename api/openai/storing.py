"""Files: stored part by part, each in a transaction of its own, so that no upload holds one open."""

from collections.abc import Callable, Iterator
from uuid import UUID

from api.openai.answers import DeletedFile, File, FileList
from api.openai.receiving import Received
from api.openai.schemas import FileQuery
from quire import files, ids
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import InvalidCursor, NotFound, QuotaExceeded
from quire.files import Cutter
from quire.quotas import Allowance
from quire.store import File as Row
from quire.store import Tenant, file
from quire.store.base import now
from quire.store.file import FilePart

LOOK_AGAIN = 60  # seconds, until when some files may have been deleted

Take = Callable[[Cutter], Received]


class Files:
    """NotFound: the tenant has no such file. `most_stored`: bytes of all files of one tenant."""

    def __init__(self, database: Database, ring: KeyRing, *, most_bytes: int, most_stored: int) -> None:
        self._database = database
        self._ring = ring
        self._most_stored = most_stored
        self.most_bytes = most_bytes  # of one file

    def store(self, tenant_id: UUID, take: Take) -> File:
        """Store a file; `take` writes it. Of one that breaks off nothing is left.

        Raises:
            QuotaExceeded: the tenant has as many bytes stored as it may.

        """
        file_id = ids.new_id()
        with self._database.tenant(tenant_id) as session:
            self._check_room(file.stored(session, tenant_id), 1)
            key = self._key(session.get_one(Tenant, tenant_id))
            session.add(Row(id=file_id, tenant_id=tenant_id, filename="", purpose=""))

        def keep(number: int, body: bytes) -> None:
            with self._database.tenant(tenant_id) as session:
                session.add(FilePart(file_id=file_id, part=number, tenant_id=tenant_id, body=body))

        try:
            return self._complete(tenant_id, file_id, take(Cutter(file_id, key, keep)))
        except BaseException:
            with self._database.tenant(tenant_id) as session:
                session.delete(session.get_one(Row, file_id))
            raise

    def page(self, tenant_id: UUID, query: FileQuery) -> FileList:
        after = ids.parse(ids.FILE, query.after) if query.after else None
        if query.after and after is None:
            raise InvalidCursor
        with self._database.tenant(tenant_id) as session:
            rows = file.page(
                session, tenant_id, purpose=query.purpose, after=after, ascending=query.order == "asc",
                limit=query.limit + 1,
            )  # fmt: skip
        data = [shown(row) for row in rows[: query.limit]]
        return FileList(
            data=data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=len(rows) > query.limit,
        )

    def one(self, tenant_id: UUID, file_id: str) -> File:
        return shown(self.find(tenant_id, file_id)[0])

    def content(self, tenant_id: UUID, file_id: str) -> tuple[int, Iterator[bytes]]:
        """Return the size of a file, and its bytes as they are read."""
        row, key = self.find(tenant_id, file_id)

        def part(number: int) -> bytes | None:
            with self._database.tenant(tenant_id) as session:
                return file.part(session, row.id, number)

        return row.size, files.content(row.id, row.size, key, part)

    def delete(self, tenant_id: UUID, file_id: str) -> DeletedFile:
        row, _ = self.find(tenant_id, file_id)
        with self._database.tenant(tenant_id) as session:
            session.delete(session.get_one(Row, row.id))  # and with it, by a foreign key, its parts
        return DeletedFile(id=file_id)

    def find(self, tenant_id: UUID, file_id: str) -> tuple[Row, DataKey]:
        known = ids.parse(ids.FILE, file_id)
        with self._database.tenant(tenant_id) as session:
            row = file.find(session, tenant_id, known) if known else None
            if row is None:
                raise NotFound
            return row, self._key(session.get_one(Tenant, tenant_id))

    def _complete(self, tenant_id: UUID, file_id: UUID, received: Received) -> File:
        with self._database.tenant(tenant_id) as session:
            self._check_room(file.stored(session, tenant_id), received.size)
            row = session.get_one(Row, file_id)
            row.filename, row.purpose, row.size = received.filename, received.purpose, received.size
            row.created_at = now(session)
            row.expires_at = row.created_at + received.lasts if received.lasts else None
            row.complete = True
            session.flush()
            return shown(row)

    def _check_room(self, stored: int, size: int) -> None:
        if stored + size > self._most_stored:
            left = Allowance("file-bytes", self._most_stored, max(0, self._most_stored - stored), LOOK_AGAIN)
            raise QuotaExceeded(
                f"The tenant's files have {stored:,} bytes; {self._most_stored:,} may be kept.", left
            )

    def _key(self, tenant: Tenant) -> DataKey:
        return self._ring.unwrap(tenant.wrapped_key, tenant.id)


def shown(row: Row) -> File:
    return File(
        id=ids.show(ids.FILE, row.id),
        bytes=row.size,
        created_at=int(row.created_at.timestamp()),
        expires_at=int(row.expires_at.timestamp()) if row.expires_at else None,
        filename=row.filename,
        purpose=row.purpose,
    )
