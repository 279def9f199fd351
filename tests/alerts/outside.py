"""The outside world on loopback: an HTTP receiver, a chat robot behind TLS, a mail server."""

import email
import email.policy
import json
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class HttpReceiver:
    """Keeps every POST; answers as `answers` says, one after another, then with 200."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.bodies: list[bytes] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.reply: dict[str, Any] = {"errcode": 0, "errmsg": "ok", "code": 0}
        self.contexts: dict[str, ssl.SSLContext] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            host = ""

            def do_CONNECT(self) -> None:
                """A proxy that is itself the host that was asked for."""
                host = self.path.partition(":")[0]
                self.send_response(200)
                self.end_headers()
                secure = receiver.contexts[host].wrap_socket(self.connection, server_side=True)
                self.host = host
                self.connection = secure
                self.rfile, self.wfile = secure.makefile("rb"), secure.makefile("wb", 0)
                self.handle_one_request()
                self.close_connection = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.bodies.append(body)
                place = f"{self.host}{self.path}"
                receiver.posts.append((place, dict(self.headers), json.loads(body)))
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                said = json.dumps(receiver.reply).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(said))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def documents(self) -> list[dict[str, Any]]:
        """The bodies that came."""
        return [body for _, _, body in self.posts]

    def stand_for(self, folder: Path, *hosts: str) -> Path:
        """Be these hosts, with a certificate; gives the file to trust."""
        key, certificate = folder / "key.pem", folder / "cert.pem"
        names = ",".join(f"DNS:{host}" for host in hosts)
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=outside"]
        command += ["-addext", f"subjectAltName={names}"]
        subprocess.run(command, check=True, capture_output=True)
        for host in hosts:
            self.contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.contexts[host].load_cert_chain(certificate, key)
        return certificate


class MailServer:
    """A minimal SMTP server that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        mails = self.mails

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                def say(line: str) -> None:
                    self.wfile.write(f"{line}\r\n".encode())

                say("220 outside")
                while line := self.rfile.readline().decode().strip():
                    word = line.upper().split(" ")[0]
                    if word == "DATA":
                        say("354 go on")
                        body = b""
                        while (piece := self.rfile.readline()) != b".\r\n":
                            body += piece[1:] if piece.startswith(b"..") else piece
                        policy = email.policy.default
                        mails.append(email.message_from_bytes(body, policy=policy))  # type: ignore[arg-type]
                        say("250 kept")
                    elif word == "QUIT":
                        say("221 bye")
                        return
                    else:
                        say("250 outside" if word in ("EHLO", "HELO") else "250 ok")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """A receiver that listens."""
    made = HttpReceiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A mail server that listens."""
    made = MailServer()
    yield made
    made.server.shutdown()
    made.server.server_close()
