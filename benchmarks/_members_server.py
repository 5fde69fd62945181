"""A plain HTTP server that answers a scan of DynamoDB with recorded pages, in a process of its own.

Started by ``benchmarks._members_runs`` with the folder of the pages. The emulator would be no measure: it builds each
page anew, and takes many times as long as the client.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks._members_data import KEY
from local import members

IDENTITY = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{members.ENTITY.table}"


class _Pages:
    """Where each page is, and which one comes after a key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: list[list[dict[str, Any]]] = json.loads((folder / "pages.json").read_text())
        self._after = {
            page["last"]: number + 1 for segment in self._listed for number, page in enumerate(segment) if page["last"]
        }

    def scan(self, asked: dict[str, Any]) -> tuple[bytes, int]:
        """Return the page, and its checksum."""
        start = asked.get("ExclusiveStartKey")
        page = self._listed[asked["Segment"]][self._after[start[KEY]["S"]] if start else 0]
        return (self._folder / page["file"]).read_bytes(), page["crc"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pages: _Pages

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        operation = self.headers["x-amz-target"].partition(".")[2]
        if operation == "Scan":
            body, checksum = self.pages.scan(asked)
        else:
            body, checksum = json.dumps({"Table": {"TableArn": IDENTITY}}).encode(), None
        self.send_response(200)  # with the Date header, whose second a read's position comes from
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "BENCHMARK")
        if checksum is not None:
            self.send_header("x-amz-crc32", str(checksum))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: each line would be part of what is measured."""


def main() -> None:
    """Serve until whoever started this closes its end of the pipe."""
    _Handler.pages = _Pages(Path(json.loads(sys.argv[1])["pages"]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
