"""The document and import endpoints, free of HTTP: parsed request in, reply out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox.arangodb import errors
from sandbox.arangodb.storage import Collection, Database, Document


@dataclass(frozen=True)
class Options:
    """Flags of a document request, as sent in its query string."""

    returns_new: bool = False
    returns_old: bool = False
    is_silent: bool = False
    keeps_null: bool = True
    merges_objects: bool = True
    ignores_revisions: bool = True
    overwrite_mode: str = "conflict"


def each(database: Database, body: Any, work: Callable[[Any], Document], silent: bool) -> Any:
    """Apply ``work`` to one document, or to each of an array, where errors stay in their place.

    :raises ArangoError: For a single document.
    """
    if not isinstance(body, list):
        reply = database.atomic(lambda: work(body))
        return {} if silent else reply

    def one(item: Any) -> Document:
        try:
            return dict(database.savepoint(lambda: work(item)))
        except errors.ArangoError as error:
            return {"error": True, "errorNum": error.number, "errorMessage": error.message}

    replies = database.atomic(lambda: [one(item) for item in body])
    return [reply for reply in replies if "error" in reply] if silent else replies


def insert(collection: Collection, document: Any, options: Options) -> Document:
    """Insert one document, or treat one of the same key as ``overwriteMode`` says."""
    key = document.get("_key") if isinstance(document, dict) else None
    old = collection.get(key) if isinstance(key, str) else None
    if old is None or options.overwrite_mode == "conflict":
        return _reply(None, collection.insert(document), options)
    if options.overwrite_mode == "ignore":
        return _reply(old, old, options)
    change = replace if options.overwrite_mode == "replace" else update
    return change(collection, {**document, "_rev": None}, options)


def replace(collection: Collection, document: Any, options: Options) -> Document:
    """Replace the document of this key."""
    key, revision = _target(document, options)
    old, new = collection.replace(key, document, revision=revision)
    return _reply(old, new, options)


def update(collection: Collection, document: Any, options: Options) -> Document:
    """Merge into the document of this key."""
    key, revision = _target(document, options)
    old, new = collection.update(
        key,
        document,
        keep_null=options.keeps_null,
        merge_objects=options.merges_objects,
        revision=revision,
    )
    return _reply(old, new, options)


def remove(collection: Collection, target: Any, options: Options) -> Document:
    """Delete a document, given by key or as an object with ``_key``."""
    selector = {"_key": target.rpartition("/")[2]} if isinstance(target, str) else target
    key, _ = _target(selector, options)
    old = collection.remove(key)
    return _reply(old, old, Options(returns_old=options.returns_old))


def read(collection: Collection, target: Any) -> Document:
    """One document, given by key or as an object with ``_key``."""
    selector = {"_key": target.rpartition("/")[2]} if isinstance(target, str) else target
    key, _ = _target(selector, Options())
    document = collection.get(key)
    if document is None:
        raise errors.document_not_found()
    return document


def bulk_import(
    database: Database, collection: Collection, body: Any, on_duplicate: str, *, complete: bool
) -> dict[str, Any]:
    """Insert an array of documents and count what happened.

    :param complete: Nothing at all is imported when one document fails.
    :raises ArangoError: 400/10 for no array; the first failure under ``complete``.
    """
    if not isinstance(body, list):
        raise errors.bad_parameter("expecting a JSON array in the request")
    if on_duplicate not in ("error", "update", "replace", "ignore"):
        raise errors.bad_parameter(f"invalid value for onDuplicate: {on_duplicate}")
    counts: dict[str, Any] = dict.fromkeys(("created", "errors", "empty", "updated", "ignored"), 0)
    counts["details"] = []

    def everything() -> None:
        for position, document in enumerate(body):
            try:
                one = partial(_import_one, collection, document, on_duplicate)
                outcome = one() if complete else database.savepoint(one)
            except errors.ArangoError as error:
                if complete:
                    raise
                counts["errors"] += 1
                counts["details"].append(f"at position {position}: {error.message}")
            else:
                counts[outcome] += 1

    database.atomic(everything)
    return {"error": False, **counts}


def _import_one(collection: Collection, document: Any, on_duplicate: str) -> str:
    if not document:
        return "empty"
    key = document.get("_key") if isinstance(document, dict) else None
    is_new = not isinstance(key, str) or collection.get(key) is None
    if not isinstance(key, str) or is_new or on_duplicate == "error":
        collection.insert(document)
        return "created"
    if on_duplicate == "ignore":
        return "ignored"
    change = collection.update if on_duplicate == "update" else collection.replace
    change(key, document)
    return "updated"


def _target(document: Any, options: Options) -> tuple[str, str | None]:
    if not isinstance(document, dict):
        raise errors.ArangoError(400, 1227, "invalid document type")
    key = document.get("_key") or str(document.get("_id", "")).rpartition("/")[2]
    if not isinstance(key, str) or not key:
        raise errors.ArangoError(400, 1221, "illegal document key")
    revision = document.get("_rev")
    return key, None if options.ignores_revisions else revision


def _reply(old: Document | None, new: Document, options: Options) -> Document:
    reply = {name: new[name] for name in ("_id", "_key", "_rev")}
    if old is not None and old is not new:
        reply["_oldRev"] = old["_rev"]
    if options.returns_new:
        reply["new"] = new
    if options.returns_old and old is not None:
        reply["old"] = old
    return reply
