"""server.py FOLDER: a web and an FTP server on loopback whose files come with troubles, for tests.

Prints the ports of http, https and ftp on one line, then serves until its standard input ends.
FOLDER has cert.pem and key.pem, may have files (/file/NAME), and gets log: a line for each request:
"PATH RANGE IF-RANGE IF-NONE-MATCH IF-MODIFIED-SINCE ACCEPT-ENCODING", "-" for what wasn't sent.
/TROUBLE/NAME is 1 MiB that its NAME decides, served as the trouble of that name has it."""
import gzip
import hashlib
import os
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZE = 1 << 20
folder = sys.argv[1]
lock = threading.Lock()
asked = {}


def content(name):
    block = b"".join(hashlib.sha256(f"{name}{i}".encode()).digest() for i in range(64))
    return block * (SIZE // len(block))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        names = ("Range", "If-Range", "If-None-Match", "If-Modified-Since", "Accept-Encoding")
        told = [self.headers.get(name, "-").replace(" ", "_") for name in names]
        with lock:
            self.turn = asked[self.path] = asked.get(self.path, 0) + 1
            with open(os.path.join(folder, "log"), "a", encoding="utf-8") as log:
                log.write(" ".join([self.path, *told]) + "\n")
        _, trouble, self.name = self.path.split("?")[0].split("/", 2)
        self.etag = '"%s"' % self.name
        self.modified = "Sun, 06 Nov 1994 08:49:37 GMT"
        try:
            getattr(self, "get_" + trouble.replace("-", "_"), self.get_missing)()
        except OSError:
            self.close_connection = True

    def head(self, status, length, **more):
        self.send_response(status)
        if self.etag:
            self.send_header("ETag", self.etag)
        if self.modified:
            self.send_header("Last-Modified", self.modified)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def end(self, status, **more):
        self.etag = self.modified = None
        self.head(status, 0, **more)

    def cut(self, data):
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def offset(self):
        """Where the range begins that may be sent; None: all is to be sent."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and self.headers.get("If-Range") in (self.etag, self.modified):
            return int(found[1])
        return None

    def serve(self, data):
        offset = self.offset()
        if self.headers.get("If-None-Match", "") == self.etag or (
            self.headers.get("If-Modified-Since", "") == self.modified
        ):
            self.head(304, None)
        elif offset is None:
            self.head(200, len(data))
            self.wfile.write(data)
        elif offset >= len(data):
            self.head(416, 0)
        else:
            last = len(data) - 1
            self.head(206, len(data) - offset, Content_Range=f"bytes {offset}-{last}/{SIZE}")
            self.wfile.write(data[offset:])

    def cut_first(self):
        if self.turn == 1:
            self.head(200, SIZE)
            self.cut(content(self.name)[: SIZE // 2])
        return self.turn == 1

    def get_reset(self):
        with lock:
            asked.clear()
        self.end(404)

    def get_missing(self):
        self.end(404)

    def get_file(self):
        with open(os.path.join(folder, self.name), "rb") as file:
            data = file.read()
        self.etag = '"%s"' % hashlib.sha256(data).hexdigest()
        self.head(200, len(data))
        self.wfile.write(data)

    def get_plain(self):
        self.serve(content(self.name))

    def get_dated(self):
        self.etag = None
        self.serve(content(self.name))

    def get_cut(self):
        self.cut_first() or self.serve(content(self.name))

    def get_cut_often(self):
        """Each answer has an eighth more of it."""
        data, offset = content(self.name), self.offset() or 0
        if offset == 0:
            self.head(200, SIZE)
        else:
            self.head(206, SIZE - offset, Content_Range=f"bytes {offset}-{SIZE - 1}/{SIZE}")
        self.cut(data[offset : offset + SIZE // 8])

    def get_cut_dated(self):
        self.etag = None
        self.get_cut()

    def get_cut_weak(self):
        self.etag = 'W/"weak"'
        self.get_cut()

    def get_cut_fresh(self):
        """A date that proves nothing: it is now."""
        self.etag, self.modified = None, self.date_time_string()
        self.cut_first() or self.serve(content(self.name))

    def get_no_range(self):
        if not self.cut_first():
            self.head(200, SIZE)
            self.wfile.write(content(self.name))

    def lie_first(self, status, **more):
        """Cut, then a lie, then as it should be."""
        if self.turn == 2:
            self.head(status, SIZE // 2, **more)
            self.wfile.write(b"x" * (SIZE // 2))
        else:
            self.cut_first() or self.serve(content(self.name))

    def get_bad_offset(self):
        self.lie_first(206, Content_Range=f"bytes 0-{SIZE // 2 - 1}/{SIZE}")

    def get_bad_total(self):
        self.lie_first(206, Content_Range=f"bytes {SIZE // 2}-{SIZE - 1}/{SIZE + 1}")

    def get_bad_length(self):
        self.lie_first(206, Content_Range=f"bytes {SIZE // 2}-{SIZE - 2}/{SIZE}")

    def get_no_content_range(self):
        self.lie_first(206)

    def get_bad_tag(self):
        if self.turn == 2:
            self.etag = '"other"'
        self.lie_first(206, Content_Range=f"bytes {SIZE // 2}-{SIZE - 1}/{SIZE}")

    def get_mixed(self):
        """The right head, the wrong half."""
        self.lie_first(206, Content_Range=f"bytes {SIZE // 2}-{SIZE - 1}/{SIZE}")

    def get_unsatisfied(self):
        self.lie_first(416)

    def get_changed(self):
        if not self.cut_first():
            self.etag = '"changed"'
            self.serve(content(self.name + "-changed"))

    def get_moving(self):
        """Other bytes each time it is asked for."""
        self.etag = f'"{self.turn}"'
        self.serve(content(f"{self.name}-{self.turn}"))

    def get_unasked(self):
        self.head(206, SIZE, Content_Range=f"bytes 0-{SIZE - 1}/{SIZE}")
        self.wfile.write(content(self.name))

    def get_short(self):
        self.head(200, SIZE + 1000)
        self.cut(content(self.name))

    def get_short_lie(self):
        """It says less than it has."""
        self.head(200, SIZE - 1000)
        self.wfile.write(content(self.name))
        self.close_connection = True

    def get_huge(self):
        self.head(200, 1 << 60)
        self.cut(content(self.name))

    def get_no_length(self):
        self.head(200, None, Connection="close")
        self.cut(content(self.name))

    def get_chunked(self):
        self.head(200, None, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n" % SIZE + content(self.name) + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def get_chunked_cut(self):
        self.head(200, None, Transfer_Encoding="chunked")
        self.cut(b"%x\r\n" % SIZE + content(self.name) + b"\r\n")

    def get_busy(self):
        if self.turn == 1:
            self.end(503, Retry_After="1")
        else:
            self.serve(content(self.name))

    def get_down(self):
        self.end(503)

    def get_coded(self):
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            data = gzip.compress(content(self.name))
            self.head(200, len(data), Content_Encoding="gzip")
            self.wfile.write(data)
        else:
            self.serve(content(self.name))

    def get_stall(self):
        self.head(200, SIZE)
        self.wfile.write(content(self.name)[:50])
        self.wfile.flush()
        time.sleep(30)

    def get_slow(self):
        """One 32th each 50 ms, from where it is asked for."""
        data, offset = content(self.name), self.offset() or 0
        if offset == 0:
            self.head(200, SIZE)
        else:
            self.head(206, SIZE - offset, Content_Range=f"bytes {offset}-{SIZE - 1}/{SIZE}")
        for at in range(offset, SIZE, SIZE // 32):
            self.wfile.write(data[at : at + SIZE // 32])
            self.wfile.flush()
            time.sleep(0.05)

    def get_redirect(self):
        self.end(302, Location="/plain/" + self.name)

    def get_circle(self):
        self.end(302, Location=self.path)

    def get_to_http(self):
        self.end(301, Location=f"http://127.0.0.1:{ports['http']}/plain/{self.name}")

    def get_to_https(self):
        self.end(301, Location=f"https://127.0.0.1:{ports['https']}/plain/{self.name}")

    def get_there_and_back(self):
        self.end(301, Location=f"https://127.0.0.1:{ports['https']}/to-http/{self.name}")

    def get_to_file(self):
        self.end(302, Location="file:///etc/hostname")

    def get_denied(self):
        self.end(403)


class Ftp(socketserver.StreamRequestHandler):
    """As much of FTP as a download needs; cuts the first transfer of /cut/NAME."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        path, offset, listener = "", 0, None
        self.say("220 here")
        for line in self.rfile:
            word, _, rest = line.decode().strip().partition(" ")
            word = word.upper()
            if word == "CWD":
                path = os.path.join("/", path, rest)
                self.say("250 done")
            elif word in ("EPSV", "PASV"):
                listener = socket.create_server(("127.0.0.1", 0))
                port = listener.getsockname()[1]
                self.say(f"229 here (|||{port}|)")
            elif word == "SIZE":
                self.say(f"213 {SIZE}")
            elif word == "REST":
                offset = int(rest)
                self.say("350 go on")
            elif word == "RETR" and rest == "missing":
                self.say("550 there is none")
            elif word == "RETR":
                self.send(os.path.join(path, rest), offset, listener)
                offset = 0
            else:
                replies = {"USER": "331 password", "PASS": "230 welcome", "PWD": '257 "/" is it'}
                replies |= {"TYPE": "200 so be it", "QUIT": "221 bye"}
                self.say(replies.get(word, "502 unknown"))

    def send(self, path, offset, listener):
        with lock:
            turn = asked["ftp" + path] = asked.get("ftp" + path, 0) + 1
            with open(os.path.join(folder, "log"), "a", encoding="utf-8") as log:
                log.write(f"ftp {path} {offset}\n")
        self.say(f"150 {SIZE} bytes come")
        end = SIZE // 2 if turn == 1 and path.startswith("/cut/") else SIZE
        with listener.accept()[0] as connection:
            connection.sendall(content(os.path.basename(path))[offset:end])
        self.say("226 done" if end == SIZE else "426 cut")


class Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True


http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
https = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
https.socket = context.wrap_socket(https.socket, server_side=True)
ftp = Threads(("127.0.0.1", 0), Ftp)
ports = {"http": http.server_port, "https": https.server_port}
for server in (http, https, ftp):
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(http.server_port, https.server_port, ftp.server_address[1], flush=True)
sys.stdin.read()
