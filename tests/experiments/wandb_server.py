"""A stand-in for the server of Weights & Biases, which keeps what `wandb sync` and online runs send."""

import gzip
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HISTORY, SUMMARY, CONSOLE = "wandb-history.jsonl", "wandb-summary.json", "output.log"


@dataclass
class StoredRun:
    """What the server has of one run id.

    Attributes:
        fields: The last value of each variable of UpsertBucket, such as groupName, jobType, displayName and tags.
        streams: Lines of each streamed file by offset; a line sent to the same offset replaces the one before.
        files: Names of uploaded files.
        artifacts: Each artifact's input of CreateArtifact.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, without W&B's own part."""
        stored = json.loads(self.fields["config"])
        return {key: entry["value"] for key, entry in stored.items() if key != "_wandb"}

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of the history in the order of their offsets."""
        return [json.loads(line) for _, line in sorted(self.streams[HISTORY].items())]

    @property
    def summary(self) -> dict[str, Any]:
        """The last summary."""
        return json.loads(self.streams[SUMMARY][0]) if self.streams[SUMMARY] else {}


class WandbServer(ThreadingHTTPServer):
    """Answers the requests of W&B's client.

    Attributes:
        runs: What was sent of each run, by id.
        views: Variables of each saved workspace.
        unknown: Operations that have no answer here.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, StoredRun] = defaultdict(StoredRun)
        self.views: list[dict[str, Any]] = []
        self.unknown: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, operation: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        answers = {
            "Viewer": self._viewer,
            "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
            "RunResumeStatus": self._resume_status,
            "UpsertBucket": self._upsert,
            "CreateRunFiles": self._run_files,
            "CreateArtifact": self._artifact,
            "CreateArtifactManifest": self._manifest,
            "UpdateArtifactManifest": self._manifest,
            "CreateArtifactFiles": self._artifact_files,
            "ArtifactType": lambda _: {"project": None},  # the artifact is new
            "OrganizationCoreWeaveOrganizationID": lambda _: {"entity": {"organization": None}},
            "CommitArtifact": lambda sent: {"commitArtifact": {"artifact": {"id": sent["artifactID"], "digest": ""}}},
        }
        if operation in answers:
            return answers[operation](variables)
        if "upsertView" in query:
            self.views.append(variables)
            return {"upsertView": {"view": {"id": "1", "name": "nw-view-v"}, "inserted": True}}
        if "viewer" in query:
            return self._viewer(variables)
        self.unknown.append(query)
        return {}

    def _viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "1", "entity": "somebody", "username": "somebody", "email": "", "flags": "{}",
                           "teams": {"edges": []}}}  # fmt: skip

    def _resume_status(self, sent: dict[str, Any]) -> dict[str, Any]:
        bucket = None
        if (known := self.runs.get(sent["name"])) is not None and known.fields:
            lines = {name: len(known.streams[name]) for name in (HISTORY, "wandb-events.jsonl", CONSOLE)}
            tail = json.dumps([json.dumps(row) for row in known.history[-1:]])
            bucket = {"id": sent["name"], "name": sent["name"], "summaryMetrics": json.dumps(known.summary),
                      "displayName": known.fields.get("displayName"), "historyLineCount": lines[HISTORY],
                      "eventsLineCount": lines["wandb-events.jsonl"], "logLineCount": lines[CONSOLE],
                      "historyTail": tail, "eventsTail": "[]", "config": known.fields["config"],
                      "tags": known.fields.get("tags") or [], "notes": None, "wandbConfig": '{"t": 1}'}  # fmt: skip
        return {"model": {"id": "p", "name": sent["project"], "entity": {"id": "e", "name": "somebody"},
                          "bucket": bucket}}  # fmt: skip

    def _upsert(self, sent: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[sent["name"]]
        inserted = not run.fields
        run.fields |= {key: value for key, value in sent.items() if value is not None}
        project = {"id": "p", "name": sent["project"] or "p", "entity": {"id": "e", "name": "somebody"}}
        bucket = {"id": sent["name"], "name": sent["name"], "displayName": sent["displayName"], "description": None,
                  "config": sent["config"], "sweepName": sent["sweep"], "project": project,
                  "historyLineCount": len(run.streams[HISTORY])}  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _run_files(self, sent: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.address}/upload/{sent['run']}/{name}"} for name in sent["files"]]
        return {"createRunFiles": {"runID": sent["run"], "uploadHeaders": [], "files": files}}

    def _artifact(self, sent: dict[str, Any]) -> dict[str, Any]:
        given = sent.get("input", sent)
        self.runs[given["runName"]].artifacts.append(given)
        artifact = {"id": given["clientID"], "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def _manifest(self, sent: dict[str, Any]) -> dict[str, Any]:
        entry = {"id": "m", "file": {"id": "f", "uploadUrl": f"{self.address}/upload//manifest", "uploadHeaders": []}}
        return {key: {"artifactManifest": entry} for key in ("createArtifactManifest", "updateArtifactManifest")}

    def _artifact_files(self, sent: dict[str, Any]) -> dict[str, Any]:
        given = sent.get("input", sent)
        edges = [{"node": {"storagePath": spec["name"], "uploadUrl": f"{self.address}/upload//{spec['name']}",
                           "uploadHeaders": [], "uploadMultipartUrls": None,
                           "artifact": {"id": spec["artifactID"]}}}
                 for spec in given.get("artifactFiles", [])]  # fmt: skip
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone."""

    def stream(self, run: str, sent: dict[str, Any]) -> None:
        """Keep what was streamed of a run's files."""
        for name, part in (sent.get("files") or {}).items():
            stored = self.runs[run].streams[name]
            stored.update(enumerate(part["content"], part.get("offset") or 0))


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if "file_stream" in self.path:
            self.server.stream(self.path.split("/")[-2], json.loads(body))
            self._answer({})
            return
        sent = json.loads(body or b"{}")
        if "query" not in sent:  # telemetry
            self._answer({})
            return
        query, operation = sent["query"], sent.get("operationName") or ""
        operation = operation or query.replace("{", " ").replace("(", " ").split()[1]
        self._answer({"data": self.server.answer(operation, query, sent.get("variables") or {})})

    def do_PUT(self) -> None:
        _, _, run, name = self.path.split("?")[0].split("/", 3)
        self.server.runs[run].files[name] = self._body()
        self._answer({})

    def do_GET(self) -> None:
        self._answer({})

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """Run a server until the end of the context."""
    server = WandbServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
