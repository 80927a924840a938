"""
`python -m stentor.lab.workload NAME [PORT]`: answers every HTTP request with NAME.

It stands in for the pods behind a Service: what the client reads is the node it reached.
"""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 80


class DualStackServer(ThreadingHTTPServer):
    """Listens for IPv6 and IPv4 alike, on all addresses: a VIP comes and goes on lo."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Take IPv4 too, whatever net.ipv6.bindv6only says."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "workload", int(self.server_address[1])


def handler(name: str) -> type[BaseHTTPRequestHandler]:
    """A handler class that answers with `name`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{name}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: 50 requests a second are no news."""

    return Handler


def main(name: str, port: int) -> None:
    """Serve until killed."""
    DualStackServer(("::", port), handler(name)).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else PORT)
