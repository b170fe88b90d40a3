"""ArangoDB's error numbers, as the server reports them."""

from __future__ import annotations


class ArangoError(Exception):
    """An error that the HTTP layer turns into ArangoDB's error object.

    :param http: HTTP status code.
    :param number: ArangoDB's ``errorNum``.
    :param message: ``errorMessage``.
    """

    def __init__(self, http: int, number: int, message: str) -> None:
        """Keep the parts."""
        super().__init__(message)
        self.http = http
        self.number = number
        self.message = message


def bad_parameter(message: str) -> ArangoError:
    """Return a malformed request (400/10)."""
    return ArangoError(400, 10, message)


def unauthorized() -> ArangoError:
    """Missing or wrong credentials (401/11)."""
    return ArangoError(401, 11, "not authorized to execute this request")


def query_syntax(message: str) -> ArangoError:
    """AQL that does not parse, or that lies outside the subset (400/1501)."""
    return ArangoError(400, 1501, f"AQL: {message}")


def bind_missing(name: str) -> ArangoError:
    """Return a bind parameter used in the query has no value (400/1551)."""
    return ArangoError(400, 1551, f"no value specified for declared bind parameter '{name}'")


def bind_undeclared(name: str) -> ArangoError:
    """Return a value was given for a bind parameter that the query does not use (400/1552)."""
    return ArangoError(400, 1552, f"bind parameter '{name}' was not declared in the query")


def bind_type(name: str) -> ArangoError:
    """Return a bind parameter has a value of the wrong type (400/1553)."""
    return ArangoError(400, 1553, f"bind parameter '{name}' has an invalid value or type")


def document_not_found() -> ArangoError:
    """No document has this key (404/1202)."""
    return ArangoError(404, 1202, "document not found")


def collection_not_found(name: str) -> ArangoError:
    """No collection has this name (404/1203)."""
    return ArangoError(404, 1203, f"collection or view not found: {name}")


def database_not_found(name: str) -> ArangoError:
    """No database has this name (404/1228)."""
    return ArangoError(404, 1228, f"database not found: {name}")


def cursor_not_found() -> ArangoError:
    """Return the cursor never existed, was exhausted, or expired (404/1600)."""
    return ArangoError(404, 1600, "cursor not found")


def duplicate_name(name: str) -> ArangoError:
    """Return a collection or database of this name exists (409/1207)."""
    return ArangoError(409, 1207, f"duplicate name: {name}")


def unique_violated(key: str) -> ArangoError:
    """Return a document with this key, or this unique value, exists (409/1210)."""
    return ArangoError(
        409,
        1210,
        f"unique constraint violated - in index primary of type primary over '_key'; "
        f"conflicting key: {key}",
    )


def revision_conflict() -> ArangoError:
    """Return the expected revision is not the stored one (412/1200)."""
    return ArangoError(412, 1200, "conflict, _rev values do not match")


def unavailable() -> ArangoError:
    """Return the server is starting, stopping or overloaded (503/503)."""
    return ArangoError(503, 503, "service unavailable")
