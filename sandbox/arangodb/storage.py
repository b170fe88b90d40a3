"""Documents and indices in SQLite, one file a database.

SQLite gives what a stand-in needs from a storage engine: ordered B-trees for the persistent
indices, atomic writes, survival of ``kill -9``, and a start without loading anything.
"""
# Table names are numbers from this module's own catalogue, never text from a request.
# ruff: noqa: S608

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sandbox.arangodb import errors
from sandbox.arangodb.values import order_key

Document = dict[str, Any]

_DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_COLLECTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,255}")
_KEY = re.compile(r"[A-Za-z0-9_\-:.@()+,=;$!*'%]{1,254}")
_REVISION_ALPHABET = "-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_AFTER = b"\xff"
_ABSENT = object()

_CATALOGUE = """
create table if not exists collections (
  id integer primary key autoincrement, name text not null unique, kind integer not null
);
create table if not exists indices (
  id integer primary key autoincrement, collection integer not null, name text not null,
  fields text not null, is_unique integer not null, is_sparse integer not null
);
"""


@dataclass(frozen=True)
class Index:
    """A persistent index: the values of ``fields`` in order, then the document."""

    number: int
    name: str
    fields: tuple[str, ...]
    is_unique: bool
    is_sparse: bool

    @property
    def table(self) -> str:
        """The B-tree's table."""
        return f"index_{self.number}"

    def keys(self, document: Document) -> set[bytes]:
        """Index keys of a document: one, or one per element of an expanded array."""
        keys = {b""}
        for field in self.fields:
            values = field_values(document, field)
            if self.is_sparse and None in values:
                return set()
            encoded = {order_key(value) for value in values}
            keys = {prefix + suffix for prefix in keys for suffix in encoded}
        return keys


def field_values(document: Document, field: str) -> list[Any]:
    """Values of ``a.b`` (exactly one) or of ``a[*].b`` (one per element) in a document."""
    head, star, tail = field.partition("[*]")
    value = _path(document, head.split("."))
    if not star:
        return [value]
    if not isinstance(value, list):
        return []
    path = [part for part in tail.split(".") if part]
    return [_path(item, path) for item in value]


def _path(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def insert_row(sql: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> int:
    """Insert one row; returns its number."""
    return int(sql.execute(f"{statement} returning id", values).fetchone()[0])


class RevisionClock:
    """Makes ``_rev`` values: unique, growing, in ArangoDB's encoding of a hybrid logical clock."""

    def __init__(self, milliseconds: Callable[[], int]) -> None:
        """Keep the parts."""
        self._milliseconds = milliseconds
        self._last = 0

    def tick(self) -> str:
        """Return the next revision."""
        self._last = max(self._last + 1, self._milliseconds() << 20)
        value = self._last
        digits = []
        while value:
            digits.append(_REVISION_ALPHABET[value & 63])
            value >>= 6
        return "".join(reversed(digits))


@dataclass(frozen=True)
class Span:
    """A range of index keys, ``lower <= key < upper``."""

    lower: bytes
    upper: bytes


def span_of(prefix: bytes, lower: bytes | None, upper: bytes | None) -> Span:
    """Return the keys under ``prefix`` between two encoded bounds of the next field."""
    return Span(prefix + (lower or b""), prefix + (_AFTER if upper is None else upper))


class Collection:
    """One collection's documents and indices."""

    def __init__(self, database: Database, number: int, name: str, kind: int) -> None:
        """Keep the parts."""
        self._sql = database.sql
        self._clock = database.clock
        self.number = number
        self.name = name
        self.kind = kind
        self.table = f"documents_{number}"
        rows = self._sql.execute(
            "select id, name, fields, is_unique, is_sparse from indices where collection = ?"
            " order by id",
            (number,),
        )
        self.indices = [
            Index(number_, name_, tuple(orjson.loads(fields)), bool(unique), bool(sparse))
            for number_, name_, fields, unique, sparse in rows
        ]

    # -- reading ------------------------------------------------------------------------------

    def count(self) -> int:
        """Return number of documents."""
        return int(self._sql.execute(f"select count(*) from {self.table}").fetchone()[0])

    def scan(self) -> Iterator[Document]:
        """Every document, in no promised order."""
        for (body,) in self._sql.execute(f"select body from {self.table}"):
            yield orjson.loads(body)

    def look_up(self, index: Index, span: Span, *, descending: bool = False) -> Iterator[Document]:
        """Documents whose index keys lie in the span, in index order."""
        direction = "desc" if descending else "asc"
        rows = self._sql.execute(
            f"select d.body from {index.table} i join {self.table} d on d.id = i.document"
            f" where i.key >= ? and i.key < ? order by i.key {direction}, i.document {direction}",
            (span.lower, span.upper),
        )
        for (body,) in rows:
            yield orjson.loads(body)

    def get(self, key: str) -> Document | None:
        """One document, or None."""
        row = self._sql.execute(f"select body from {self.table} where key = ?", (key,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    # -- writing ------------------------------------------------------------------------------

    def insert(self, document: Any) -> Document:
        """Store a new document; returns it with its key, id and revision.

        :raises ArangoError: 1227 no object, 1221 bad key, 1210 key or unique value taken.
        """
        if not isinstance(document, dict):
            raise errors.ArangoError(400, 1227, "invalid document type")
        key = document.get("_key", _ABSENT)
        if key is _ABSENT:
            key = "".join(secrets.choice(_KEY_ALPHABET) for _ in range(22))
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise errors.ArangoError(400, 1221, "illegal document key")
        stored = self._stamped(key, document)
        try:
            number = insert_row(
                self._sql,
                f"insert into {self.table} (key, body) values (?, ?)",
                (key, orjson.dumps(stored)),
            )
        except sqlite3.IntegrityError:
            raise errors.unique_violated(key) from None
        for index in self.indices:
            self._add_keys(index, number, index.keys(stored), key)
        return stored

    def replace(
        self, key: str, document: Document, *, revision: str | None = None
    ) -> tuple[Document, Document]:
        """Put a document in another's place; returns (old, new).

        :raises ArangoError: 1202 no such document, 1200 another revision is stored.
        """
        row = self._sql.execute(
            f"select id, body from {self.table} where key = ?", (key,)
        ).fetchone()
        if row is None:
            raise errors.document_not_found()
        old = orjson.loads(row[1])
        if revision is not None and revision != old["_rev"]:
            raise errors.revision_conflict()
        new = self._stamped(key, document)
        self._sql.execute(
            f"update {self.table} set body = ? where id = ?", (orjson.dumps(new), row[0])
        )
        for index in self.indices:
            before, after = index.keys(old), index.keys(new)
            self._remove_keys(index, row[0], before - after)
            self._add_keys(index, row[0], after - before, key)
        return old, new

    def update(
        self,
        key: str,
        patch: Document,
        *,
        keep_null: bool = True,
        merge_objects: bool = True,
        revision: str | None = None,
    ) -> tuple[Document, Document]:
        """Merge a patch into a document; returns (old, new)."""
        old = self.get(key)
        if old is None:
            raise errors.document_not_found()
        return self.replace(key, merged(old, patch, keep_null, merge_objects), revision=revision)

    def remove(self, key: str) -> Document:
        """Delete a document; returns it."""
        row = self._sql.execute(
            f"delete from {self.table} where key = ? returning id, body", (key,)
        ).fetchone()
        if row is None:
            raise errors.document_not_found()
        old: Document = orjson.loads(row[1])
        for index in self.indices:
            self._remove_keys(index, row[0], index.keys(old))
        return old

    def truncate(self) -> None:
        """Delete every document."""
        for table in (self.table, *(index.table for index in self.indices)):
            self._sql.execute(f"delete from {table}")

    def _stamped(self, key: str, document: Document) -> Document:
        body = {name: value for name, value in document.items() if name not in _SYSTEM}
        head = {"_key": key, "_id": f"{self.name}/{key}", "_rev": self._clock.tick()}
        return head | body

    def _add_keys(self, index: Index, document: int, keys: Iterable[bytes], key: str) -> None:
        for entry in keys:
            if index.is_unique:
                found = self._sql.execute(
                    f"select 1 from {index.table} where key = ?", (entry,)
                ).fetchone()
                if found:
                    raise errors.unique_violated(key)
            self._sql.execute(
                f"insert into {index.table} (key, document) values (?, ?)", (entry, document)
            )

    def _remove_keys(self, index: Index, document: int, keys: Iterable[bytes]) -> None:
        self._sql.executemany(
            f"delete from {index.table} where key = ? and document = ?",
            [(entry, document) for entry in keys],
        )

    # -- indices ------------------------------------------------------------------------------

    def add_index(
        self, fields: list[str], *, name: str | None, is_unique: bool, is_sparse: bool
    ) -> tuple[Index, bool]:
        """Create a persistent index over what is stored; returns (index, whether it is new)."""
        for index in self.indices:
            if index.fields == tuple(fields) and index.is_unique == is_unique:
                return index, False
        number = insert_row(
            self._sql,
            "insert into indices (collection, name, fields, is_unique, is_sparse)"
            " values (?, ?, ?, ?, ?)",
            (self.number, name or "", orjson.dumps(fields).decode(), is_unique, is_sparse),
        )
        index = Index(number, name or f"idx_{number}", tuple(fields), is_unique, is_sparse)
        self._sql.execute("update indices set name = ? where id = ?", (index.name, number))
        self._sql.execute(
            f"create table {index.table} (key blob, document integer, primary key (key, document))"
            " without rowid"
        )
        rows = self._sql.execute(f"select id, body from {self.table}").fetchall()
        for document, body in rows:
            stored = orjson.loads(body)
            self._add_keys(index, document, index.keys(stored), stored["_key"])
        self.indices.append(index)
        return index, True


_SYSTEM = frozenset(("_key", "_id", "_rev"))


def merged(old: Document, patch: Document, keep_null: bool, merge_objects: bool) -> Document:
    """``old`` with ``patch`` over it, objects merged recursively if asked."""
    result = dict(old)
    for name, value in patch.items():
        before = result.get(name)
        if value is None and not keep_null:
            result.pop(name, None)
        elif merge_objects and isinstance(value, dict) and isinstance(before, dict):
            result[name] = merged(before, value, keep_null, merge_objects)
        else:
            result[name] = value
    return result


class Database:
    """One ArangoDB database: a SQLite file."""

    def __init__(self, path: Path, clock: RevisionClock) -> None:
        """Keep the parts."""
        self.name = path.stem
        self.path = path
        self.clock = clock
        # One thread serves all requests; autocommit leaves transactions to `atomic`.
        self.sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.sql.execute("pragma journal_mode = wal")
        # A killed process loses nothing; only a power cut could, and this is a stand-in.
        self.sql.execute("pragma synchronous = off")
        # Random keys land all over the B-trees: the default cache of 2 MB would thrash.
        self.sql.execute("pragma cache_size = -65536")
        self.sql.execute("pragma mmap_size = 1073741824")
        self.sql.executescript(_CATALOGUE)
        rows = self.sql.execute("select id, name, kind from collections").fetchall()
        self.collections = {
            name: Collection(self, number, name, kind) for number, name, kind in rows
        }

    def collection(self, name: str) -> Collection:
        """Return a collection by name.

        :raises ArangoError: 1203.
        """
        try:
            return self.collections[name]
        except KeyError:
            raise errors.collection_not_found(name) from None

    def create_collection(self, name: str, kind: int) -> Collection:
        """Create a collection with its primary index.

        :raises ArangoError: 1208 bad name, 1207 name taken.
        """
        if not _COLLECTION_NAME.fullmatch(name):
            raise errors.ArangoError(400, 1208, f"illegal name: {name}")
        if name in self.collections:
            raise errors.duplicate_name(name)
        number = insert_row(
            self.sql, "insert into collections (name, kind) values (?, ?)", (name, kind)
        )
        self.sql.execute(
            f"create table documents_{number}"
            " (id integer primary key, key text not null unique, body blob not null)"
        )
        collection = Collection(self, number, name, kind)
        collection.add_index(["_key"], name="primary", is_unique=True, is_sparse=False)
        self.collections[name] = collection
        return collection

    def drop_collection(self, name: str) -> None:
        """Delete a collection with everything in it."""
        collection = self.collection(name)
        for table in (collection.table, *(index.table for index in collection.indices)):
            self.sql.execute(f"drop table {table}")
        self.sql.execute("delete from indices where collection = ?", (collection.number,))
        self.sql.execute("delete from collections where id = ?", (collection.number,))
        del self.collections[name]

    def atomic(self, work: Callable[[], Any]) -> Any:
        """Run ``work`` so that it happens completely or not at all."""
        self.sql.execute("begin immediate")
        try:
            result = work()
        except BaseException:
            self.sql.execute("rollback")
            raise
        self.sql.execute("commit")
        return result

    def savepoint(self, work: Callable[[], Any]) -> Any:
        """As :meth:`atomic`, inside an open transaction."""
        self.sql.execute("savepoint document")
        try:
            result = work()
        except BaseException:
            self.sql.execute("rollback to document")
            self.sql.execute("release document")
            raise
        self.sql.execute("release document")
        return result

    def close(self) -> None:
        """Close the file."""
        self.sql.close()


class Server:
    """All databases below one folder; ``_system`` always exists."""

    def __init__(self, folder: Path, milliseconds: Callable[[], int] | None = None) -> None:
        """Keep the parts."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clock = RevisionClock(milliseconds or (lambda: time.time_ns() // 1_000_000))
        names = {path.stem for path in folder.glob("*.sqlite3")} | {"_system"}
        self.databases = {name: self._open(name) for name in sorted(names)}

    def _open(self, name: str) -> Database:
        return Database(self._folder / f"{name}.sqlite3", self._clock)

    def database(self, name: str) -> Database:
        """Return a database by name.

        :raises ArangoError: 1228.
        """
        try:
            return self.databases[name]
        except KeyError:
            raise errors.database_not_found(name) from None

    def create_database(self, name: str) -> None:
        """Create an empty database.

        :raises ArangoError: 1229 bad name, 1207 name taken.
        """
        if not _DATABASE_NAME.fullmatch(name):
            raise errors.ArangoError(400, 1229, f"database name invalid: {name}")
        if name in self.databases:
            raise errors.duplicate_name(name)
        self.databases[name] = self._open(name)

    def drop_database(self, name: str) -> None:
        """Delete a database and its file.

        :raises ArangoError: 1228; 403/1230 for ``_system``.
        """
        if name == "_system":
            raise errors.ArangoError(403, 1230, "database is only accessible via _system database")
        self.database(name).close()
        path = self.databases.pop(name).path
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Close every database."""
        for database in self.databases.values():
            database.close()
