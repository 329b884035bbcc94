"""What a run reads."""

import gzip
import os

import pytest

from pipeline.contract.errors import InputError
from pipeline.sources.listing import CrawlListing, Input, expand, listed_paths

NAMES = [f"crawl-data/CC-MAIN-2024-10/segments/{n % 3}/warc/CC-MAIN-20240220211055-{n:05d}.warc.gz" for n in range(20)]


@pytest.fixture
def mirror(tmp_path):
    """A folder laid out as Common Crawl's."""
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 5)
    listing = tmp_path / "crawl-data/CC-MAIN-2024-10/warc.paths.gz"
    listing.write_bytes(gzip.compress("\n".join(NAMES).encode()))
    return str(tmp_path)


def test_a_crawl_listing(mirror):
    listing = CrawlListing(crawl="CC-MAIN-2024-10", base=mirror + "/", first=3)
    assert listed_paths(listing) == sorted(f"{mirror}/{name}" for name in NAMES[:3])
    assert expand(listing=listing)[0] == Input(
        path=f"{mirror}/{NAMES[0]}", bytes=5, format="warc", dump="CC-MAIN-2024-10"
    )
    assert len(expand(listing=CrawlListing(crawl="CC-MAIN-2024-10", base=mirror))) == 20


def test_a_sample_depends_on_its_seed_alone(mirror):
    def draw(seed, count=5):
        return listed_paths(CrawlListing(crawl="CC-MAIN-2024-10", base=mirror, sample=count, seed=seed))

    assert draw(1) == draw(1) and len(set(draw(1))) == 5
    assert draw(1) != draw(2)
    assert set(draw(1)) < set(draw(1, 6))
    assert draw(1, 20) == sorted(f"{mirror}/{name}" for name in NAMES)


def test_addresses():
    assert (
        CrawlListing(crawl="CC-MAIN-2024-10").address
        == "https://data.commoncrawl.org/crawl-data/CC-MAIN-2024-10/warc.paths.gz"
    )
    listing = CrawlListing(crawl="CC-MAIN-2024-10", kind="wet", base="s3://commoncrawl")
    assert listing.address == "s3://commoncrawl/crawl-data/CC-MAIN-2024-10/wet.paths.gz"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not gzip", "is not a gzip list of paths"), (gzip.compress(b"\n", mtime=0), "it is empty"),
        (gzip.compress(b"../../etc/passwd", mtime=0), "line '../../etc/passwd'"),
        (gzip.compress(b"http://x/y", mtime=0), "line 'http://x/y'"),
        (gzip.compress(b"/etc/passwd", mtime=0), "line '/etc/passwd'"),
        (gzip.compress(b"a\nb", mtime=0), "lists 2 files, 3 were asked for"),
        (None, "does not exist"),
    ],
)  # fmt: skip
def test_a_listing_that_is_none(tmp_path, content, problem):
    path = tmp_path / "crawl-data/CC-MAIN-2024-10/warc.paths.gz"
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        expand(listing=CrawlListing(crawl="CC-MAIN-2024-10", base=str(tmp_path), first=3))
    assert problem in error.value.problem and error.value.place == str(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crawl": "2024-10"}, "crawl: must be a name such as CC-MAIN-2024-10, got '2024-10'"),
        (
            {"crawl": "CC-MAIN-2024-10/../x"},
            "crawl: must be a name such as CC-MAIN-2024-10, got 'CC-MAIN-2024-10/../x'",
        ),
        ({"crawl": "CC-MAIN-2024-10", "first": 0}, "first: must be at least 1, got 0"),
        ({"crawl": "CC-MAIN-2024-10", "first": 1, "sample": 1}, "first and sample: give one of the two, not both"),
    ],
)
def test_impossible_listings(fields, message):
    with pytest.raises(ValueError) as error:
        CrawlListing(**fields)
    assert str(error.value) == message


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"abc")


def test_paths_globs_and_folders_once_each_in_order(tmp_path):
    files(
        tmp_path,
        "b.warc.gz",
        "a.warc",
        "sub/c.wet.gz",
        "sub/d.parquet",
        "sub/notes.txt",
        "sub/.hidden.warc",
        "e.jsonl.gz",
    )
    found = expand([f"{tmp_path}/*.warc*", str(tmp_path / "b.warc.gz"), str(tmp_path)])
    assert [(item.path.removeprefix(f"{tmp_path}/"), item.format) for item in found] == [
        ("a.warc", "warc"),
        ("b.warc.gz", "warc"),
        ("e.jsonl.gz", "jsonl"),
        ("sub/c.wet.gz", "warc"),
        ("sub/d.parquet", "parquet"),
    ]  # fmt: skip
    assert [item.path for item in expand([f"{tmp_path}/**/*.parquet"])] == [f"{tmp_path}/sub/d.parquet"]
    assert found[0].bytes == 3


def test_a_path_is_kept_as_it_was_given(tmp_path, monkeypatch):
    files(tmp_path, "x[1].warc")
    monkeypatch.chdir(tmp_path)
    assert [item.path for item in expand(["./x[1].warc"])] == ["./x[1].warc"]
    assert [item.path for item in expand(["x*.warc"])] == ["x[1].warc"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("none/*.warc.gz", "no file matches"),
        ("none.warc.gz", "no file matches"),
        (".", "holds 1 files, and none is an input by its name"),
        ("", "an empty path"),
        ("x.txt", "its name does not say what it is"), ("*.txt", "its name does not say what it is"),
    ],
)  # fmt: skip
def test_nothing_to_read_is_the_users_mistake(tmp_path, monkeypatch, path, problem):
    files(tmp_path, "x.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        expand([path])
    assert error.value.problem == problem


def test_no_input_at_all():
    with pytest.raises(InputError, match="names nothing to read"):
        expand([])


def test_the_format_can_be_told(tmp_path):
    files(tmp_path, "x.txt")
    assert [item.format for item in expand([str(tmp_path / "x.txt")], format="wet")] == ["warc"]
    assert [item.format for item in expand([str(tmp_path)], format="jsonl")] == ["jsonl"]


def test_each_kind_of_nothing_has_its_own_message(tmp_path):
    for name in ("empty", "sub/hidden"):
        (tmp_path / name).mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe.warc.gz")
    (tmp_path / "loop.warc.gz").symlink_to(tmp_path / "loop.warc.gz")
    (tmp_path / "gone.warc.gz").symlink_to(tmp_path / "away.warc.gz")
    problems = {
        "empty": "is an empty folder",
        "pipe.warc.gz": "is a pipe (FIFO), not a file",
        "loop.warc.gz": "is a loop of symbolic links",
        "gone.warc.gz": f"is a symbolic link to {tmp_path}/away.warc.gz, which does not exist",
        "away.warc.gz": "no file matches",
    }
    for name, problem in problems.items():
        with pytest.raises(InputError) as error:
            expand([str(tmp_path / name)])
        assert error.value.problem == problem, name
    with pytest.raises(InputError) as error:
        expand(["/dev/null"])
    assert error.value.problem == "is a device, not a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_closed_folder_says_so(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub").chmod(0)
    try:
        with pytest.raises(InputError, match="sub gives no permission"):
            expand([str(tmp_path)])
    finally:
        (tmp_path / "sub").chmod(0o700)


def test_a_loop_of_folders_is_read_once(tmp_path):
    files(tmp_path, "a.warc.gz", "sub/b.warc.gz")
    (tmp_path / "sub/up").symlink_to(tmp_path)
    found = [item.path for item in expand([str(tmp_path)])]
    assert found == [f"{tmp_path}/a.warc.gz", f"{tmp_path}/sub/b.warc.gz"]


def test_a_run_folder_among_its_inputs_is_no_input_of_its_own(tmp_path):
    files(tmp_path, "a.warc.gz", "out/documents/part-00000.parquet", "other/b.parquet")
    wanted = [f"{tmp_path}/a.warc.gz", f"{tmp_path}/other/b.parquet"]
    assert [item.path for item in expand([str(tmp_path)], output=str(tmp_path / "out"))] == wanted
    assert [item.path for item in expand([f"{tmp_path}/**/*.*"], output=str(tmp_path / "out"))] == wanted
    assert len(expand([str(tmp_path)], output=str(tmp_path / "elsewhere"))) == 3


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in", "in"), ("in/*.warc", "in"), ("in", "in/../in"), ("in", "."), ("link", "in"), ("in", "link"),
        ("in/a", "in"),
    ],
)  # fmt: skip
def test_an_output_that_is_or_holds_the_input_is_called_that(tmp_path, monkeypatch, given, output):
    files(tmp_path, "in/a/x.warc", "in/x.warc")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        expand([given], output=output)
    problem = f"every file it names lies in the run folder {output}, and nothing in that is an input of its own run"
    assert (error.value.place, error.value.problem) == (given, problem)
    assert error.value.hint == "give an --output outside of what is read"


def test_a_run_folder_in_its_input_folder_is_left_out_through_links_too(tmp_path):
    files(tmp_path, "in/x.warc", "in/out/y.warc")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for given, output in (("in", "in/out"), ("link", "in/out"), ("in", "link/out")):
        found = expand([f"{tmp_path}/{given}"], output=f"{tmp_path}/{output}")
        assert [item.path for item in found] == [f"{tmp_path}/{given}/x.warc"]


def test_a_run_folder_among_the_inputs_is_called_that(tmp_path):
    for name in ("a.jsonl", "old/run.json", "old/documents/part-00000.parquet"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("{}")
    with pytest.raises(InputError, match=r"holds the run folder .*in/old, whose tables would be read as inputs"):
        expand([str(tmp_path / "in")])
    [found] = expand([str(tmp_path / "in" / "*.jsonl")])
    assert found.path == str(tmp_path / "in" / "a.jsonl")
    [given] = expand([str(tmp_path / "in" / "old" / "documents")])
    assert given.path.endswith("part-00000.parquet")
