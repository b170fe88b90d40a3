"""As much of Airflow's REST API as starting and showing runs takes, over a real socket."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, PASSWORD = "leo", "airflow-password"


class AirflowServer:
    """A server that logs in one user and remembers the runs that were started."""

    def __init__(self) -> None:
        """Listen on a port of its own."""
        self.runs: dict[str, dict[str, Any]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/auth/token":
                    is_known = body == {"username": USER, "password": PASSWORD}
                    self._answer(201 if is_known else 401, {"access_token": "token"})
                elif body["dag_run_id"] in outer.runs:
                    self._answer(409, {"detail": "The DAG run exists"})
                else:
                    run = {
                        "dag_id": self.path.split("/")[4], "dag_run_id": body["dag_run_id"],
                        "conf": body["conf"], "state": "queued", "start_date": None,
                        "end_date": None,
                    }  # fmt: skip
                    self._answer(200, outer.runs.setdefault(body["dag_run_id"], run))

            def do_GET(self) -> None:
                run = outer.runs.get(self.path.rpartition("/")[2])
                self._answer(404 if run is None else 200, run or {"detail": "not found"})

            def _answer(self, status: int, document: Any) -> None:
                is_open = self.path == "/auth/token"
                if not is_open and self.headers["Authorization"] != "Bearer token":
                    status, document = 401, {"detail": "no"}
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> AirflowServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
