"""The inspection and control API that the message stand-ins share.

===========================  =====================================================
``GET /health``              ``{"ok": true, "messages": N}``
``GET /messages/count``      ``{"count": N}`` (``?to=`` counts one recipient)
``GET /messages``            numbers, recipients and labels (``?to=&offset=&limit=``)
``GET /messages/N``          one whole record
``DELETE /messages``         forget all of them
``GET/PUT/DELETE /faults``   the fault rules (see :mod:`sandbox.faults`)
===========================  =====================================================
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sandbox.faults import Faults
from sandbox.http_server import Request, Response
from sandbox.journal import Journal


class Control:
    """Answers the control API of one stand-in.

    :param journal: what it accepted.
    :param faults: how it misbehaves.
    """

    def __init__(self, journal: Journal, faults: Faults) -> None:
        """Look at, and change, what the stand-in uses."""
        self._journal = journal
        self._faults = faults

    async def handle(self, request: Request) -> Response:
        """Answer one control request.

        :param request: any request that is not the provider's own API.
        :raises ValueError: a malformed rule or number.
        """
        if request.path == "/health":
            return Response({"ok": True, "messages": len(self._journal)})
        if request.path == "/faults":
            return self._change_faults(request)
        if request.path == "/messages" and request.method == "DELETE":
            self._journal.clear()
            return Response({"count": 0})
        if request.path == "/messages/count":
            found = self._journal.find(request.query.get("to"))
            return Response({"count": sum(1 for _ in found)})
        if request.path == "/messages":
            return Response(self._page(request))
        if request.path.startswith("/messages/"):
            try:
                return Response(self._journal.read(int(request.path.removeprefix("/messages/"))))
            except IndexError as error:
                return Response({"error": str(error)}, status=404)
        return Response({"error": f"no such page: {request.path}"}, status=404)

    def _page(self, request: Request) -> list[dict[str, Any]]:
        offset = int(request.query.get("offset", 0))
        limit = int(request.query.get("limit", 1_000_000))
        found = list(self._journal.find(request.query.get("to")))[offset : offset + limit]
        return [{"number": number, "to": e.key, "label": e.label} for number, e in found]

    def _change_faults(self, request: Request) -> Response:
        if request.method == "PUT":
            self._faults.replace(request.json())
        elif request.method == "DELETE":
            self._faults.replace([])
        return Response([asdict(rule) for rule in self._faults.rules])
