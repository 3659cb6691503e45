"""Who takes mail over SMTP, or says that it does not, and keeps what it took."""

from __future__ import annotations

import socketserver
import threading
from email import message_from_bytes
from email.message import Message
from types import TracebackType
from typing import Self


class MailServer:
    """``with MailServer() as mail``: ``messages`` are what came; ``refusal`` is what it says instead."""

    def __init__(self, refusal: bytes = b"") -> None:
        self.messages: list[Message] = []
        self.recipients: list[list[str]] = []
        self.refusal = refusal
        outer = self

        class Line(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._serve(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Line)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, line: socketserver.StreamRequestHandler) -> None:
        line.wfile.write(b"220 here\r\n")
        recipients: list[str] = []
        while said := line.rfile.readline().strip():
            word = said.split(b":")[0].split()[0].upper()
            if word == b"RCPT":
                recipients.append(said.decode().partition("<")[2].rstrip(">"))
            if word == b"DATA":
                line.wfile.write(b"354 go on\r\n")
                self._take(line, recipients)
            elif word == b"MAIL" and self.refusal:
                line.wfile.write(self.refusal + b"\r\n")
            else:
                line.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")

    def _take(self, line: socketserver.StreamRequestHandler, recipients: list[str]) -> None:
        found = b""
        while (piece := line.rfile.readline()) != b".\r\n":
            found += piece
        self.messages.append(message_from_bytes(found))
        self.recipients.append(list(recipients))
        line.wfile.write(b"250 taken\r\n")
