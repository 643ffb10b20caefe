"""A stand-in for the W&B server on this machine: it answers what a client must hear and keeps what it sends."""

from __future__ import annotations

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY, PROJECT = "somebody", "tests"
KEY = "0123456789abcdef" * 2 + "01234567"


class StandIn:
    """Listens at `url` until `stop`; `run`, `rows`, `summary`, `files`, `alerts` and `exit_code` are what arrived."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.alerts: list[dict[str, Any]] = []
        self.exit_code: int | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.stopped = False
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Answers nobody any more, as if the machine had been switched off."""
        self.stopped = True
        self.server.shutdown()
        self.server.server_close()

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry["value"] for key, entry in json.loads(self.run["config"]).items()}

    def queried(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """What GraphQL answers to the queries of a run; an empty answer to all others."""
        name = "".join(re.findall(r"^\s*(?:query|mutation) (\w+)", query))
        answers = {
            "Viewer": self.viewer,
            "RunResumeStatus": self.resume_status,
            "UpsertBucket": self.upsert,
            "CreateRunFiles": self.create_files,
            "NotifyScriptableRunAlert": self.alert,
        }
        return answers[name](variables) if name in answers else {}

    def viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        nobody = {"edges": [], "pageInfo": {"hasNextPage": False}}
        return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": nobody}}

    def resume_status(self, _: dict[str, Any]) -> dict[str, Any]:
        if not self.run:
            return {"model": None}
        bucket = {
            "name": self.run["name"], "historyLineCount": len(self.rows), "eventsLineCount": 0, "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in self.rows[-1:]]), "eventsTail": "[]",
            "summaryMetrics": json.dumps(self.summary), "config": self.run["config"], "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }  # fmt: skip
        return {"model": {"id": "1", "name": PROJECT, "entity": {"id": "1", "name": ENTITY}, "bucket": bucket}}

    def upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.run |= {key: value for key, value in variables.items() if value is not None}
        project = {"id": "1", "name": PROJECT, "entity": {"id": "1", "name": ENTITY}}
        bucket = {"id": "1", "name": self.run["name"], "displayName": "", "project": project, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def create_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}

    def alert(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.alerts.append(variables)
        return {"notifyScriptableRunAlert": {"success": True}}

    def streamed(self, told: dict[str, Any]) -> None:
        """Keeps the rows, the summary and the end that a client streams."""
        for name, chunk in (told.get("files") or {}).items():
            lines = [json.loads(line) for line in chunk["content"]] if name.endswith((".json", ".jsonl")) else []
            if name == "wandb-history.jsonl":
                self.rows[chunk["offset"] :] = lines
            elif name == "wandb-summary.json":
                self.summary |= lines[-1]
        if told.get("complete"):
            self.exit_code = told["exitcode"]


def handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.body()
            if self.path.endswith("/graphql"):
                told = json.loads(body)
                self.answer({"data": stand_in.queried(told["query"], told.get("variables") or {})})
            elif self.path.endswith("/file_stream"):
                stand_in.streamed(json.loads(body))
                self.answer({})
            else:
                self.answer({})  # how W&B itself fares, which it also sends

        def do_PUT(self) -> None:
            stand_in.files[self.path.removeprefix("/upload/")] = self.body()
            self.answer({})

        def body(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def answer(self, what: dict[str, Any]) -> None:
            self.close_connection = True
            text = json.dumps(what).encode()
            self.send_response(503 if stand_in.stopped else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
