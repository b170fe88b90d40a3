"""ArangoDB's HTTP API over :mod:`sandbox.arangodb.storage`, as an ASGI application."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from sandbox.arangodb import documents, errors
from sandbox.arangodb.cursors import DEFAULT_BATCH_SIZE, DEFAULT_TTL_S, Cursor, Cursors
from sandbox.arangodb.execute import execute
from sandbox.arangodb.faults import Fault, Faults
from sandbox.arangodb.storage import Collection, Database, Index, Server

VERSION = {"server": "arango", "license": "community", "version": "3.11.14"}
TOKEN_LIFE_S = 3600

Handler = Callable[["Api", Request, Any], tuple[int, Any]]


class Api:
    """State and handlers of one server.

    :param server: The databases.
    :param username: The one user; may do everything.
    :param clock: Monotonic seconds, for cursor lifetimes.
    :param now: Unix seconds, for tokens.
    """

    def __init__(
        self,
        server: Server,
        *,
        username: str,
        password: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep the parts."""
        self.server = server
        self.cursors = Cursors(clock)
        self.faults = Faults()
        self._username = username
        self._password = password
        self._now = now
        self._secret = secrets.token_hex(32)

    # -- authentication -----------------------------------------------------------------------

    def log_in(self, body: Any) -> dict[str, str]:
        """Return a token for a user name and password.

        :raises ArangoError: 401.
        """
        if not isinstance(body, dict) or not self._matches(
            str(body.get("username")), str(body.get("password"))
        ):
            raise errors.unauthorized()
        issued = int(self._now())
        claims = {
            "iss": "arangodb",
            "iat": issued,
            "exp": issued + TOKEN_LIFE_S,
            "preferred_username": self._username,
        }
        return {"jwt": jwt.encode(claims, self._secret, algorithm="HS256")}

    def authenticate(self, header: str) -> None:
        """Check an ``Authorization`` header, basic or bearer.

        :raises ArangoError: 401.
        """
        scheme, _, value = header.partition(" ")
        try:
            if scheme.lower() == "basic":
                name, _, password = base64.b64decode(value).decode().partition(":")
                is_known = self._matches(name, password)
            elif scheme.lower() == "bearer":
                claims = jwt.decode(
                    value, self._secret, algorithms=["HS256"], options={"verify_exp": False}
                )
                is_known = claims["exp"] > self._now()
            else:
                is_known = False
        except (ValueError, jwt.InvalidTokenError):
            is_known = False
        if not is_known:
            raise errors.unauthorized()

    def _matches(self, name: str, password: str) -> bool:
        is_password = secrets.compare_digest(password.encode(), self._password.encode())
        return is_password and name == self._username

    # -- requests -----------------------------------------------------------------------------

    def database(self, request: Request) -> Database:
        """Return the database named in the path; ``_system`` without one."""
        return self.server.database(request.path_params.get("database", "_system"))

    def collection(self, request: Request) -> Collection:
        """Return the collection named in the path or the query string."""
        name = request.path_params.get("collection") or request.query_params.get("collection", "")
        return self.database(request).collection(name)


def _flag(request: Request, name: str, default: bool = False) -> bool:
    return request.query_params.get(name, str(default)).lower() in ("1", "true", "yes")


def _ok(code: int = 200, **fields: Any) -> tuple[int, dict[str, Any]]:
    return code, {"error": False, "code": code, **fields}


# -- databases and collections -------------------------------------------------------------------


def _version(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    return 200, VERSION


def _list_databases(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    return _ok(result=sorted(api.server.databases))


def _create_database(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    api.server.create_database(_field(body, "name"))
    return _ok(201, result=True)


def _drop_database(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    api.server.drop_database(request.path_params["name"])
    return _ok(result=True)


def _field(body: Any, name: str) -> str:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str):
        raise errors.bad_parameter(f"the request body needs a string '{name}'")
    return value


def _describe(collection: Collection) -> dict[str, Any]:
    return {
        "id": str(collection.number),
        "name": collection.name,
        "isSystem": False,
        "type": collection.kind,
        "status": 3,
        "globallyUniqueId": f"h{collection.number}/1",
    }


def _list_collections(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    collections = api.database(request).collections.values()
    return _ok(result=[_describe(collection) for collection in collections])


def _create_collection(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    database = api.database(request)
    name = _field(body, "name")
    kind = body.get("type", 2)
    collection = database.atomic(lambda: database.create_collection(name, kind))
    options: dict[str, Any] = {
        "waitForSync": False,
        "keyOptions": {"type": "traditional", "allowUserKeys": True},
    }
    return _ok(**_describe(collection), **options)


def _get_collection(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    return _ok(**_describe(api.collection(request)))


def _count(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    collection = api.collection(request)
    return _ok(**_describe(collection), count=collection.count())


def _truncate(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    collection = api.collection(request)
    api.database(request).atomic(collection.truncate)
    return _ok(**_describe(collection))


def _drop_collection(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    database, collection = api.database(request), api.collection(request)
    database.atomic(lambda: database.drop_collection(collection.name))
    return _ok(id=str(collection.number))


# -- indices -------------------------------------------------------------------------------------


def _describe_index(collection: Collection, index: Index) -> dict[str, Any]:
    is_primary = index.name == "primary"
    return {
        "id": f"{collection.name}/{0 if is_primary else index.number}",
        "type": "primary" if is_primary else "persistent",
        "name": index.name,
        "fields": list(index.fields),
        "unique": index.is_unique,
        "sparse": index.is_sparse,
    }


def _list_indices(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    collection = api.collection(request)
    described = [_describe_index(collection, index) for index in collection.indices]
    return _ok(indexes=described, identifiers={item["id"]: item for item in described})


def _create_index(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    if _field(body, "type") != "persistent":
        raise errors.bad_parameter(f"index type {body['type']!r} is outside the stand-in's subset")
    fields = body.get("fields")
    if not isinstance(fields, list) or not fields or not all(isinstance(f, str) for f in fields):
        raise errors.bad_parameter("an index needs a list of attribute names in 'fields'")
    collection = api.collection(request)
    index, is_new = api.database(request).atomic(
        lambda: collection.add_index(
            fields,
            name=body.get("name"),
            is_unique=bool(body.get("unique")),
            is_sparse=bool(body.get("sparse")),
        )
    )
    described = _describe_index(collection, index)
    return _ok(201 if is_new else 200, isNewlyCreated=is_new, **described)


# -- cursors -------------------------------------------------------------------------------------


def _open_cursor(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    text = _field(body, "query")
    options = body.get("options") or {}
    binds = body.get("bindVars") or {}
    batch_size = body.get("batchSize") or DEFAULT_BATCH_SIZE
    if not isinstance(batch_size, int) or batch_size < 1:
        raise errors.bad_parameter("batchSize must be a positive number")
    database = api.database(request)
    is_stream = bool(options.get("stream"))
    results, statistics = execute(
        database, text, binds, full_count=bool(options.get("fullCount")) and not is_stream
    )
    cursor = Cursor(
        database=database.name,
        results=results,
        batch_size=batch_size,
        ttl=float(body.get("ttl") or DEFAULT_TTL_S),
        is_counted=bool(body.get("count")) and not is_stream,
        allows_retry=bool(options.get("allowRetry")),
        statistics=statistics,
    )
    return 201, api.cursors.open(cursor)


def _next_batch(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    batch = request.path_params.get("batch")
    return 200, api.cursors.next(
        api.database(request).name,
        request.path_params["cursor"],
        int(batch) if batch is not None else None,
    )


def _close_cursor(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    identifier = request.path_params["cursor"]
    api.cursors.close(api.database(request).name, identifier)
    return _ok(202, id=identifier)


# -- documents -----------------------------------------------------------------------------------


def _options(request: Request) -> documents.Options:
    mode = request.query_params.get("overwriteMode", "conflict")
    return documents.Options(
        returns_new=_flag(request, "returnNew"),
        returns_old=_flag(request, "returnOld"),
        is_silent=_flag(request, "silent"),
        keeps_null=_flag(request, "keepNull", True),
        merges_objects=_flag(request, "mergeObjects", True),
        ignores_revisions=_flag(request, "ignoreRevs", True),
        overwrite_mode="replace" if _flag(request, "overwrite") else mode,
    )


def _change(
    action: Callable[[Collection, Any, documents.Options], dict[str, Any]],
) -> Handler:
    def handler(api: Api, request: Request, body: Any) -> tuple[int, Any]:
        collection, options = api.collection(request), _options(request)
        key = request.path_params.get("key")
        if key is not None:
            body = {**(body if isinstance(body, dict) else {}), "_key": key}
        reply = documents.each(
            api.database(request),
            body,
            lambda item: action(collection, item, options),
            options.is_silent,
        )
        return 202, reply

    return handler


def _replace_or_read_many(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    if not _flag(request, "onlyget"):
        return _change(documents.replace)(api, request, body)
    collection = api.collection(request)
    found = documents.each(
        api.database(request), body, lambda item: documents.read(collection, item), False
    )
    return 200, found


def _read(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    return 200, documents.read(api.collection(request), request.path_params["key"])


def _import(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    database, collection = api.database(request), api.collection(request)
    if request.query_params.get("type") not in ("array", "auto", "list"):
        raise errors.bad_parameter("the stand-in imports only type=array")
    if _flag(request, "overwrite"):
        database.atomic(collection.truncate)
    on_duplicate = request.query_params.get("onDuplicate", "error")
    counts = documents.bulk_import(
        database, collection, body, on_duplicate, complete=_flag(request, "complete")
    )
    return 201, counts


# -- control -------------------------------------------------------------------------------------


def _list_faults(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    return _ok(faults=api.faults.describe())


def _add_fault(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    api.faults.add(body)
    return _ok(201, faults=api.faults.describe())


def _clear_faults(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    api.faults.clear()
    return _ok()


def _log_in(api: Api, request: Request, body: Any) -> tuple[int, Any]:
    return 200, api.log_in(body)


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/_api/version", _version),
    ("GET", "/_api/database", _list_databases),
    ("GET", "/_api/database/user", _list_databases),
    ("POST", "/_api/database", _create_database),
    ("DELETE", "/_api/database/{name}", _drop_database),
    ("GET", "/_api/collection", _list_collections),
    ("POST", "/_api/collection", _create_collection),
    ("GET", "/_api/collection/{collection}", _get_collection),
    ("GET", "/_api/collection/{collection}/properties", _get_collection),
    ("GET", "/_api/collection/{collection}/count", _count),
    ("PUT", "/_api/collection/{collection}/truncate", _truncate),
    ("DELETE", "/_api/collection/{collection}", _drop_collection),
    ("GET", "/_api/index", _list_indices),
    ("POST", "/_api/index", _create_index),
    ("POST", "/_api/cursor", _open_cursor),
    ("POST", "/_api/cursor/{cursor}", _next_batch),
    ("POST", "/_api/cursor/{cursor}/{batch:int}", _next_batch),
    ("DELETE", "/_api/cursor/{cursor}", _close_cursor),
    ("POST", "/_api/document/{collection}", _change(documents.insert)),
    ("PATCH", "/_api/document/{collection}", _change(documents.update)),
    ("PUT", "/_api/document/{collection}", _replace_or_read_many),
    ("DELETE", "/_api/document/{collection}", _change(documents.remove)),
    ("GET", "/_api/document/{collection}/{key}", _read),
    ("PATCH", "/_api/document/{collection}/{key}", _change(documents.update)),
    ("PUT", "/_api/document/{collection}/{key}", _change(documents.replace)),
    ("DELETE", "/_api/document/{collection}/{key}", _change(documents.remove)),
    ("POST", "/_api/import", _import),
]
CONTROL: list[tuple[str, str, Handler]] = [
    ("GET", "/_sandbox/faults", _list_faults),
    ("POST", "/_sandbox/faults", _add_fault),
    ("DELETE", "/_sandbox/faults", _clear_faults),
    ("POST", "/_open/auth", _log_in),
]


def _json(code: int, body: Any) -> Response:
    return Response(orjson.dumps(body), code, media_type="application/json; charset=utf-8")


def _error(error: errors.ArangoError) -> Response:
    return _json(
        error.http,
        {
            "error": True,
            "code": error.http,
            "errorNum": error.number,
            "errorMessage": error.message,
        },
    )


def _endpoint(
    api: Api, handler: Handler, *, is_open: bool
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            if not is_open:
                api.authenticate(request.headers.get("authorization", ""))
            body = orjson.loads(raw) if raw else None
            code, reply = handler(api, request, body)
        except orjson.JSONDecodeError as error:
            return _error(errors.ArangoError(400, 600, f"invalid JSON: {error}"))
        except errors.ArangoError as error:
            return _error(error)
        return _json(code, reply)

    return endpoint


async def _unknown(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path} is outside the stand-in's subset"
    return _error(errors.ArangoError(code, code, message))


def create_app(api: Api) -> FaultyApp:
    """Return the server as an ASGI application, with the fault switches around it."""
    routes = [
        Route(prefix + path, _endpoint(api, handler, is_open=False), methods=[method])
        for method, path, handler in ROUTES
        for prefix in ("/_db/{database}", "")
    ]
    routes += [
        Route(path, _endpoint(api, handler, is_open=True), methods=[method])
        for method, path, handler in CONTROL
    ]
    app = Starlette(routes=routes, exception_handlers={404: _unknown, 405: _unknown})
    return FaultyApp(app, api)


class FaultyApp:
    """Applies the fault switches before a request reaches the server."""

    def __init__(self, app: Starlette, api: Api) -> None:
        """Keep the parts."""
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        fault = None
        if scope["type"] == "http":
            path = (
                "/" + scope["path"].split("/", 3)[-1]
                if scope["path"].startswith("/_db/")
                else (scope["path"])
            )
            fault = self._api.faults.strike(scope["method"], path)
        if fault is not None:
            await self._fail(fault, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _fail(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "unavailable":
            await _error(errors.unavailable())(scope, receive, send)
            return
        if fault.kind == "drop":
            await _hang_up(send)
            return
        if fault.kind == "drop_reply":
            await self._app(scope, receive, _half_reply(send))
            return
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "expire_cursors":
            self._api.cursors.expire()
        await self._app(scope, receive, send)


def _half_reply(send: Send) -> Send:
    async def send_half(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message["body"]
        await send(
            {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        )
        await _hang_up(send)

    return send_half


async def _hang_up(send: Send) -> None:
    # ASGI has no word for it: uvicorn's `send` is a method of the object that owns the socket.
    send.__self__.transport.close()  # type: ignore[attr-defined]
    # The server must have seen the closed socket before the request ends, or it logs an error.
    await asyncio.sleep(0.01)
