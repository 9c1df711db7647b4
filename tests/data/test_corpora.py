"""Named corpora: downloads from a server on loopback, checked, kept, refused."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bptt.data import corpora, read_text
from bptt.data.corpora import CORPORA, Download, cache_folder, python_docs
from bptt.errors import InputError

TEXT = b"A small corpus, sent over the wire. " * 20


class Server:
    """Counts what it is asked, and answers every path with TEXT except /missing and, but for the last byte, /short."""

    def __init__(self) -> None:
        self.asked = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                self.send_response(404 if self.path == "/missing" else 200)
                self.send_header("Content-Length", str(len(TEXT)))
                self.end_headers()
                self.wfile.write(TEXT[: -1 if self.path == "/short" else None])

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "BPTT_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def name_it(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes = TEXT) -> None:
    monkeypatch.setitem(CORPORA, "loopback", Download(url, hashlib.sha256(content).hexdigest()))


def test_a_download_is_kept_and_asked_for_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name_it(monkeypatch, f"{server.url}/text")
    for _ in range(2):
        corpus = read_text("loopback")
        assert corpus.facts["bytes"] == len(TEXT) and corpus.facts["sha256"] == hashlib.sha256(TEXT).hexdigest()
    assert server.asked == 1
    assert [path.name for path in cache_folder().iterdir()] == ["loopback.txt"]


def test_a_damaged_copy_in_the_cache_is_fetched_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name_it(monkeypatch, f"{server.url}/text")
    cache_folder().mkdir()
    (cache_folder() / "loopback.txt").write_bytes(TEXT[:-1])
    assert read_text("loopback").facts["bytes"] == len(TEXT)
    assert (cache_folder() / "loopback.txt").read_bytes() == TEXT


def test_a_wrong_checksum_is_refused_and_not_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name_it(monkeypatch, f"{server.url}/text", content=b"something else")
    with pytest.raises(InputError, match="not what it should be"):
        read_text("loopback")
    assert not cache_folder().exists() or not list(cache_folder().iterdir())


@pytest.mark.parametrize("path", ["/missing", "/short"])
def test_a_failing_server_is_one_clear_error(server: Server, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    name_it(monkeypatch, server.url + path)
    with pytest.raises(InputError, match=r"could not be downloaded|not what it should be") as caught:
        monkeypatch.setattr(corpora, "PATIENCE", 0.3)
        read_text("loopback")
    assert str(cache_folder() / "loopback.txt") in str(caught.value)


def test_without_a_network_the_error_says_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name_it(monkeypatch, "http://127.0.0.1:9/closed")
    with pytest.raises(InputError, match=r"loopback\.txt.*python-docs"):
        read_text("loopback")


def test_a_cache_that_cannot_be_written_is_no_error(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name_it(monkeypatch, f"{server.url}/text")
    (tmp_path / "bptt").write_text("a file where the folder should be")
    assert read_text("loopback").facts["bytes"] == len(TEXT)


def test_addresses_are_https_with_a_checksum() -> None:
    downloads = [download for download in CORPORA.values() if download]
    assert len(downloads) == 2
    assert all(download.url.startswith("https://") and len(download.sha256) == 64 for download in downloads)


def test_the_python_documentation_needs_no_download() -> None:
    assert len(python_docs()) > 100_000 and b'The "assert" statement' in python_docs()[:100]
