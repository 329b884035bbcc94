"""Archives as they should be, and as they are."""

import gzip
import hashlib
import json
import random
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from pipeline.contract.errors import InputError
from pipeline.sources.record import Gap, Record
from pipeline.sources.warc.codec import GZIP
from pipeline.sources.warc.member_stream import MemberStream
from pipeline.sources.warc.reader import dump_of, read_warc

Item = Record | Gap
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>page</p>"


def warc(
    number: int, block: bytes = PAGE, *, kind: str = "response", length: object = None, eol: bytes = b"\r\n"
) -> bytes:
    """A WARC record with the id `r<number>`."""
    length = len(block) if length is None else length
    lines = ["WARC/1.0", f"WARC-Type: {kind}", f"WARC-Record-ID: <urn:uuid:r{number}>"]
    lines += ["WARC-Date: 2024-03-01T10:20:30Z", f"WARC-Target-URI: https://site.example/{number}"]
    lines += [f"Content-Length: {length}"]
    return eol.join(line.encode() for line in lines) + eol * 2 + block + b"\r\n\r\n"


def member(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Item]]:
    """Writes bytes to a file and reads them as an archive."""

    def run(data: bytes, *, start: int = 0, name: str = "test.warc.gz", **more: int) -> list[Item]:
        path = tmp_path / name
        path.write_bytes(data)
        return list(read_warc(str(path), start=start, **more))  # type: ignore[arg-type]

    return run


def short(items: list[Item]) -> list[tuple[object, ...]]:
    """(offset, length, id) of records, (offset, length, cause) of gaps."""
    return [
        (i.warc_offset, i.length, i.cause) if isinstance(i, Gap) else (i.warc_offset, i.warc_length, i.id)
        for i in items
    ]


def uncovered(items: list[Item], start: int, end: int) -> list[tuple[int, int]]:
    """Bytes of the file that neither a record nor a gap accounts for."""
    places = sorted((i.warc_offset, i.length if isinstance(i, Gap) else i.warc_length) for i in items)
    holes, at = [], start
    for offset, length in [*places, (end, 0)]:
        if offset > at:
            holes.append((at, offset))
        at = max(at, offset + length)
    return holes


def tail_from(items: list[Item], offset: int) -> list[Item]:
    return items[next(n for n, item in enumerate(items) if item.warc_offset == offset) :]


def test_a_sound_file(read):
    parts = [
        member(warc(1, b"software: x", kind="warcinfo")),
        member(warc(2)),
        member(warc(3, kind="request")),
        member(warc(4)),
    ]
    items = read(b"".join(parts))
    at = [sum(map(len, parts[:n])) for n in range(4)]
    assert short(items) == [(at[n], len(parts[n]), f"r{n + 1}") for n in range(4)]
    assert [item.kind for item in items] == ["other", "response", "other", "response"]
    page = items[1]
    assert (page.url, page.date, page.status) == (
        "https://site.example/2",
        datetime(2024, 3, 1, 10, 20, 30, tzinfo=UTC),
        200,
    )
    assert (page.content_type, page.charset, page.body) == ("text/html", "utf-8", b"<p>page</p>")
    assert (page.fault, page.body_size, page.text) == (None, None, None)
    assert items[2].body == b""


def test_any_compression_gives_the_same_records(read):
    records = [warc(n) for n in range(3)]
    compress = zstandard.ZstdCompressor().compress
    gz, zst, plain = (read(b"".join(map(f, records)), name=name) for f, name in
                      ((member, "a.warc.gz"), (compress, "a.warc.zst"), (bytes, "a.warc")))  # fmt: skip
    assert (
        [item.body for item in gz]
        == [item.body for item in zst]
        == [item.body for item in plain]
        == [b"<p>page</p>"] * 3
    )
    assert [item.warc_length for item in plain] == [len(record) for record in records]


def test_a_zstd_dictionary_in_the_first_frame(read):
    words = zstandard.train_dictionary(2048, [warc(n, PAGE + bytes([n]) * n) for n in range(200)])
    raw = words.as_bytes()
    frames = b"".join(zstandard.ZstdCompressor(dict_data=words).compress(warc(n)) for n in range(3))
    for stored in (raw, zstandard.ZstdCompressor().compress(raw)):
        data = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored + frames
        assert [item.id for item in read(data, name="d.warc.zst") if isinstance(item, Record)] == ["r0", "r1", "r2"]


def test_stray_bytes_between_members_are_one_gap(read):
    a, b = member(warc(1)), member(warc(2))
    junk = b"not a member \x1f\x8b\x08 but much like one" + bytes(30)
    items = read(a + junk + b)
    assert short(items) == [(0, len(a), "r1"), (len(a), len(junk), "junk"), (len(a) + len(junk), len(b), "r2")]


def test_a_member_that_is_no_record_is_a_gap(read):
    a, b, c = member(warc(1)), member(b"<html>no record</html>"), member(warc(2))
    assert short(read(a + b + c))[1] == (len(a), len(b), "junk")


def test_blank_members_and_padding_are_gaps(read):
    a, empty = member(warc(1)), member(b"")
    assert short(read(a + empty + a + empty)) == [
        (0, len(a), "r1"), (len(a), len(empty), "empty_member"),
        (len(a) + len(empty), len(a), "r1"), (2 * len(a) + len(empty), len(empty), "empty_member"),
    ]  # fmt: skip
    assert short(read(bytes(100) + warc(1), name="a.warc"))[0] == (0, 100, "padding")


@pytest.mark.parametrize("cut", [5, 40, -1, -8, -9])
def test_a_cut_member_is_a_fault_or_a_gap(read, cut):
    a, b = member(warc(1)), member(warc(2, PAGE + bytes(random.Random(1).randbytes(4000))))
    items = read(a + (b[:cut]))
    assert short(items)[0] == (0, len(a), "r1") and len(items) == 2
    last = items[1]
    if cut == 5:
        assert short(items)[1] == (len(a), 5, "truncated_member")
    else:
        assert isinstance(last, Record | Gap)
        cause = last.cause if isinstance(last, Gap) else last.fault
        assert cause == "truncated_member"
    assert uncovered(items, 0, len(a) + len(b[:cut])) == []


def test_a_wrong_checksum_is_a_fault_and_the_next_record_is_read(read):
    a, b = member(warc(1)), member(warc(2))
    broken = a[:-8] + bytes([a[-8] ^ 1]) + a[-7:]
    items = read(b + broken + b)
    assert [item.id for item in items] == ["r2", "r1", "r2"]
    assert [item.fault for item in items] == [
        None,
        "corrupt_member: Error -3 while decompressing data: incorrect data check",
        None,
    ]


def test_a_flipped_bit_inside_a_member_loses_that_record_alone(read):
    a, b = member(warc(1, PAGE + random.Random(1).randbytes(3000))), member(warc(2))
    items = read(b + a[:2000] + b"\xff\xff\xff\xff" + a[2004:] + b)
    assert [item.id for item in items if isinstance(item, Record)] == ["r2", "r1", "r2"]
    assert items[1].fault.startswith("corrupt_member") and items[1].warc_length == len(a)


def test_a_record_before_one_that_cannot_be_unpacked_comes_once(read):
    long = member(warc(2, PAGE + random.Random(2).randbytes(300_000)))
    items = read(member(warc(1)) + long[:200_000] + b"\xff" * 50 + long[200_050:] + member(warc(3)))
    assert [item.id for item in items] == ["r1", "r2", "r3"]
    assert [bool(item.fault) for item in items] == [False, True, False]


def test_a_content_length_too_long_ends_at_the_member(read):
    parts = [member(warc(1)), member(warc(2, length=len(PAGE) + 50)), member(warc(3)), member(warc(4))]
    items = read(b"".join(parts))
    assert [item.id for item in items if isinstance(item, Record)] == ["r1", "r2", "r3", "r4"]
    assert items[1].body == b"<p>page</p>" and items[1].fault is None
    cause = f"content_length_too_long: {len(PAGE) + 50} declared, {len(PAGE) + 4} there"
    assert short(items)[2] == (items[1].warc_offset, 0, cause)


def test_a_content_length_that_swallows_exactly_the_next_record_does_not(read):
    following = warc(2)
    parts = [member(warc(1, length=len(PAGE) + 4 + len(following) - 4)), member(following), member(warc(3))]
    assert [item.id for item in read(b"".join(parts)) if isinstance(item, Record)] == ["r1", "r2", "r3"]


def test_an_uncompressed_content_length_too_long_gives_the_next_record_back(read):
    data = warc(1) + warc(2, length=len(PAGE) + 50) + warc(3) + warc(4)
    items = read(data, name="a.warc")
    assert [item.id for item in items if isinstance(item, Record)] == ["r1", "r2", "r3", "r4"]
    assert [item.body for item in items if isinstance(item, Record)] == [b"<p>page</p>"] * 4
    assert uncovered(items, 0, len(data)) == []


def test_a_content_length_too_short_leaves_a_gap(read):
    data = warc(1, length=len(PAGE) - 7) + warc(2)
    assert short(read(data, name="a.warc"))[1:] == [
        (0, 0, "content_length_too_short"), (len(warc(1)) - 11, 11, "junk"), (len(warc(1)), len(warc(2)), "r2"),
    ]  # fmt: skip
    packed = read(member(data[: len(warc(1))]) + member(warc(2)))
    assert [item.cause for item in packed if isinstance(item, Gap)] == [
        "content_length_too_short",
        "junk: 11 decoded bytes",
    ]


@pytest.mark.parametrize("length", ["", "-5", "abc", "5 5", "99999999999999999999"])
def test_no_usable_content_length_is_a_fault(read, length):
    items = read(member(warc(1)) + member(warc(2, length=length)) + member(warc(3)))
    records = [item for item in items if isinstance(item, Record)]
    assert [(item.id, item.fault) for item in records] == [("r1", None), ("r2", "no_content_length"), ("r3", None)]


def test_records_that_share_a_member_have_its_offset_and_their_own_ids(read):
    nameless = warc(0).replace(b"WARC-Record-ID: <urn:uuid:r0>\r\n", b"")
    data = member(warc(1) + nameless + nameless)
    items = read(member(warc(9)) + data, name="some.warc.gz")
    at = len(member(warc(9)))
    assert [(item.warc_offset, item.warc_length) for item in items[1:]] == [(at, len(data))] * 3
    digest = hashlib.blake2b(f"some.warc.gz:{at}:2".encode(), digest_size=16).hexdigest()
    assert [item.id for item in items[1:]][::2] == ["r1", digest]
    assert len({item.id for item in items}) == 4
    assert read(member(warc(9)) + data, start=at, name="some.warc.gz") == items[1:]


def test_records_that_straddle_members_are_read_from_the_nearest_clean_start(read):
    """As in BGZF files: members of 100 bytes, wherever the records end."""
    stream = warc(1) + warc(2) + warc(3, PAGE * 3)
    data = b"".join(member(stream[n : n + 100]) for n in range(0, len(stream), 100))
    items = read(data)
    assert [(item.id, item.warc_offset, item.fault) for item in items] == [
        ("r1", 0, None),
        ("r2", 0, None),
        ("r3", 0, None),
    ]
    assert items[2].warc_length == len(data)
    assert items[0].warc_length < items[1].warc_length < len(data)


@pytest.mark.parametrize(
    "size", [100, 65_536 - len(warc(1, b"")), 65_532 - len(warc(1, b"")), 2 * 65_536 - len(warc(1, b""))]
)
@pytest.mark.parametrize("cut", [1, 5, 40, 150])
def test_a_header_across_two_members_does_not_shift_a_pointer(read, size, cut):
    """Wherever the decoder's steps of 65,536 bytes end, and whether or not the header begins its member."""
    first = warc(1, PAGE + b"x" * (size - len(PAGE)) if size > len(PAGE) else b"x" * size, kind="request")
    second, third = warc(2), warc(3)
    shared = [member(first + second[:cut]), member(second[cut:]), member(third)]
    items = read(b"".join(shared))
    assert short(items) == [(0, len(shared[0]), "r1"), (0, len(shared[0] + shared[1]), "r2"),
                            (len(shared[0] + shared[1]), len(shared[2]), "r3")]  # fmt: skip
    own = [member(first), member(second[:cut]), member(second[cut:]), member(third)]
    at = [sum(map(len, own[:n])) for n in range(4)]
    assert short(read(b"".join(own))) == [(0, at[1], "r1"), (at[1], at[3] - at[1], "r2"), (at[3], len(own[3]), "r3")]


def test_bare_line_feeds_and_odd_lines_in_a_header(read):
    odd = warc(2).replace(
        b"WARC-Date", b"X-Empty:\r\nno colon\r\nX-Fold: a\r\n  b\r\nX-Long: " + b"a" * 60_000 + b"\r\nWARC-Date"
    )
    items = read(member(warc(1, eol=b"\n")) + member(odd) + member(warc(3)))
    assert [(item.id, item.body) for item in items] == [(f"r{n}", b"<p>page</p>") for n in (1, 2, 3)]


def test_odd_values_in_a_header(read):
    record = (
        b"WARC/1.1\r\nwarc-type: RESPONSE\r\nWARC-Record-ID: <http://ids.example/7>\r\n"
        b"WARC-Target-URI: <http://a.example/\xe4 b>\r\nWARC-Date: yesterday\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
    )
    (item,) = read(member(record))
    assert (item.id, item.url, item.date, item.kind) == (
        "http://ids.example/7",
        "http://a.example/ä b",
        None,
        "response",
    )


def test_a_body_above_the_bound_is_cut_and_its_size_told(read):
    big = PAGE + b"x" * 3_000_000
    small = read(member(warc(1, big)) + member(warc(2)), max_body=1_000_000)
    assert (len(small[0].body), small[0].body_size) == (1_000_000, 3_000_011 + len(PAGE) - 11)
    assert (small[1].body, small[1].body_size) == (b"<p>page</p>", None)
    whole = read(member(warc(1, PAGE + b"x" * 989)), max_body=1000)
    assert (len(whole[0].body), whole[0].body_size) == (1000, None)


def test_a_member_that_unpacks_to_gigabytes_stays_bounded(read):
    """100 MB of zeros declared as 9 EB, in 100 KB: one record, kept up to the bound."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(warc(1, PAGE, length=9 * 10**18)[:-4])]
    parts += [packer.compress(bytes(10**7)) for _ in range(10)]
    items = read(b"".join([*parts, packer.flush(), member(warc(2))]), max_body=10**6)
    assert [item.id for item in items if isinstance(item, Record)] == ["r1", "r2"]
    assert len(items[0].body) == 10**6 and items[0].body_size >= 10**8


def test_conversions_carry_text(read):
    (item,) = read(member(warc(1, "Grüße\xff".encode("latin-1") + "ß".encode(), kind="conversion")))
    assert (item.kind, item.text, item.body) == ("conversion", "Gr\ufffd\ufffde\ufffdß", b"")


def test_arc_files_of_both_kinds(read):
    def arc(url: str, body: bytes) -> bytes:
        return f"{url} 1.2.3.4 20140216050221 text/html {len(body)}\n".encode() + body + b"\n"

    parts = [
        arc("filedesc://x.arc", b"1 0 X\nURL IP\n\n"),
        arc("http://a.example/b c", PAGE),
        arc("dns:a.example", b"1.2.3.4"),
    ]
    plain, packed = read(b"".join(parts), name="x.arc"), read(b"".join(map(member, parts)), name="x.arc.gz")
    for items in (plain, packed):
        assert [item.kind for item in items] == ["other", "response", "other"]
        assert (items[1].url, items[1].body, items[1].status) == ("http://a.example/b c", b"<p>page</p>", 200)
        assert items[1].date == datetime(2014, 2, 16, 5, 2, 21, tzinfo=UTC)
    assert packed[1].warc_offset == len(member(parts[0]))


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x8b", b"PK\x03\x04 something else", bytes(5000), b"\xff" * 70_000, b"WARC/1.0\r\n" * 9]
)
def test_a_file_of_something_else_is_gaps_only(read, data):
    items = read(data)
    assert all(isinstance(item, Gap) for item in items)
    assert uncovered(items, 0, len(data)) == []


def test_a_missing_file_and_a_folder_are_the_users_mistake(tmp_path):
    for path, problem in ((tmp_path / "none.warc.gz", "does not exist"), (tmp_path, "cannot be read: Is a directory")):
        with pytest.raises(InputError) as error:
            list(read_warc(str(path)))
        assert (error.value.place, error.value.problem) == (str(path), problem)


@pytest.mark.parametrize(
    ("path", "dump"),
    [
        ("s3://x/crawl-data/CC-MAIN-2024-10/segments/17/warc/CC-MAIN-20240220211055-00000.warc.gz", "CC-MAIN-2024-10"),
        ("crawl-data/CC-NEWS/2024/03/CC-NEWS-20240301.warc.gz", ""),
        ("plain.warc.gz", ""),
    ],
)  # fmt: skip
def test_the_dump_is_found_in_the_path(path, dump):
    assert dump_of(path) == dump


def damaged(rng: random.Random, parts: list[bytes]) -> bytes:
    """Members, or the bytes inside them, cut, flipped, moved and doubled."""
    inner = rng.random() < 0.5
    pieces = [bytearray(part if inner else member(part)) for part in parts]
    for _ in range(rng.randint(1, 3)):
        piece = rng.choice(pieces)
        at = rng.randrange(len(piece) + 1)
        match rng.randrange(5):
            case 0:
                piece[at : at + 1] = rng.randbytes(1)
            case 1:
                del piece[at : at + rng.randint(1, 80)]
            case 2:
                piece[at:at] = rng.randbytes(rng.randint(1, 40))
            case 3:
                piece[at:at] = rng.choice([b"\r\n\r\n", b"\n\n", b"WARC/1.0\r\n", b"Content-Length: 3\r\n", bytes(40)])
            case _:
                piece += bytes(rng.choice(pieces))
    return b"".join(member(bytes(piece)) if inner else bytes(piece) for piece in pieces)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_the_bytes_nothing_raises_and_every_byte_is_accounted_for(read, seed):
    rng = random.Random(seed)
    parts = [
        warc(n, PAGE + rng.randbytes(rng.randrange(400)), kind=rng.choice(["response", "request"])) for n in range(5)
    ]
    for _ in range(60):
        data = damaged(rng, parts)
        items = read(data)
        assert uncovered(items, 0, len(data)) == []
        offset = rng.choice([item.warc_offset for item in items])
        assert read(data, start=offset) == tail_from(items, offset)


def test_a_tape_counts_positions_and_boundaries(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(member(b"one") + member(b"") + member(b"two"))
    with path.open("rb") as source:
        stream = MemberStream(source, 0, GZIP)
        assert (stream.take(6), stream.position, stream.ended, stream.damage) == (b"onetwo", 6, True, "")
        first, empty = len(member(b"one")), len(member(b""))
        assert stream.boundaries == [(0, 0), (3, first), (3, first + empty)]
        assert (stream.offset_of(2), stream.offset_of(3), stream.offset) == (0, first + empty, 2 * first + empty)


CORNERS = {
    # file: (records, readable pages with status 200, faults, causes of gaps)
    "real/example.warc.gz": (6, 1, [], []),
    "real/example-trunc.warc": (4, 1, [], []),
    "real/example-wrong-chunks.warc.gz": (2, 1, [], []),
    "real/example-bad-non-chunked.warc.gz": (6, 1, [], []),
    "real/example.arc.gz": (2, 1, [], []),
    "real/example-iana.org-chunked.warc": (3, 1, [], []),
    "real/example-space-in-target-uri.warc.gz": (2, 0, [], []),
    "real/whirlwind.warc.gz": (4, 1, [], []),
    "real/whirlwind.warc.wet.gz": (2, 0, [], []),
    "real/whirlwind.warc.wat.gz": (2, 0, [], []),
    "real/clipped.warc.gz": (1, 0, ["truncated_member"], []),
    "real/block-sized-records.warc.gz": (3, 0, [], []),
    "real/warcfile.warc.gz": (50, 16, [], []),
    "real/sample-0000.warc.gz": (48, 22, [], []),
    "derived/truncated-in-last-member.warc.gz": (5, 3, ["truncated_member"], []),
    "derived/junk-between-members.warc.gz": (4, 3, [], ["junk"]),
    "derived/single-gzip-member.warc.gz": (4, 3, [], []),
    "derived/content-length-too-short.warc": (4, 3, [], ["content_length_too_short", "junk"]),
    "derived/content-length-too-long.warc.gz": (4, 3, [], ["content_length_too_long"]),
    "derived/chunked.warc.gz": (3, 2, [], []),
    "derived/content-encoding.warc.gz": (5, 4, [], []),
    "derived/charsets.warc.gz": (7, 6, [], []),
    "derived/mixed-types.warc.gz": (10, 2, [], []),
    "derived/bare-lf-and-odd-headers.warc": (4, 3, [], []),
    "derived/zstd.warc.zst": (4, 3, [], []),
    "derived/warcinfo-only.warc.gz": (1, 0, [], []),
    "derived/empty.warc.gz": (0, 0, [], []),
    "derived/http-garbage.warc.gz": (4, 1, ["http_header_without_end"], []),
}


def test_the_corner_case_files_are_all_here(shared_data):
    manifest = (shared_data / "warc-corner/manifest.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["file"] for line in manifest) == sorted(CORNERS)


@pytest.mark.parametrize("file", CORNERS)
def test_a_corner_case_file_yields_what_the_recovering_reader_yields(shared_data, file):
    path = shared_data / "warc-corner" / file
    items = list(read_warc(str(path)))
    records = [item for item in items if isinstance(item, Record)]
    pages = [r for r in records if r.status == 200 and (r.content_type or "").startswith("text/html") and not r.fault]
    faults, causes = (
        [r.fault for r in records if r.fault],
        [i.cause.partition(":")[0] for i in items if isinstance(i, Gap)],
    )
    assert (len(records), len(pages), faults, causes) == CORNERS[file]
    assert uncovered(items, 0, path.stat().st_size) == []
    for offset in {item.warc_offset for item in items}:
        assert list(read_warc(str(path), start=offset)) == tail_from(items, offset)


def test_the_bodies_of_encoded_corner_cases_are_pages(shared_data):
    for name in ("chunked", "content-encoding"):
        for item in read_warc(str(shared_data / f"warc-corner/derived/{name}.warc.gz")):
            if isinstance(item, Record) and item.candidate:
                assert b"<html" in item.body[:600] and item.body.rstrip().endswith(b"</html>")
                assert b"\r\n3e8\r\n" not in item.body


def pages(folder: Path) -> Iterator[dict[str, object]]:
    return map(json.loads, (folder / "pages.jsonl").read_text().splitlines())


def test_real_pages_lie_where_their_list_says(shared_data):
    folder = shared_data / "web"
    found = {
        (Path(item.warc_path).name, item.warc_offset): item
        for path in sorted(folder.glob("*.warc.gz"))
        for item in read_warc(str(path))
        if isinstance(item, Record) and item.candidate
    }
    assert len(found) == 1015
    for page in pages(folder):
        item = found[Path(str(page["warc"])).name, page["offset"]]
        assert (item.url, item.warc_length, item.charset) == (page["url"], page["length"], page["header_charset"])
        assert hashlib.sha1(item.body).hexdigest() == page["sha1"]


def test_both_readers_see_the_same_in_a_sound_file(shared_data):
    from pipeline.sources.warc.reader import _record, open_archive
    from pipeline.sources.warc.recovery import read_recovering

    path = str(shared_data / "web/crawl-00002.warc.gz")
    with open(path, "rb", buffering=0) as source:
        recovered = [
            _record(item, path, "", 1 << 26) for item in read_recovering(open_archive(source, path), 0, 1 << 27)
        ]
    assert list(read_warc(path)) == recovered
