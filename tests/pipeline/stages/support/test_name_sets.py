"""Name sets and the lists that fill them."""

import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract.errors import InputError, MissingAssetError
from pipeline.stages.support import name_sets
from pipeline.stages.support.name_sets import NameSet, name_set, read_list


@settings(max_examples=30, deadline=None)
@given(names=st.sets(st.text(max_size=12), max_size=200), others=st.sets(st.text(max_size=12), max_size=50))
def test_a_set_holds_its_names_and_no_others(names: set[str], others: set[str]) -> None:
    found = name_set(names)
    assert len(found) == len(names)
    assert all(name in found for name in names)
    assert not any(name in found for name in others - names)


def test_a_hash_that_lies_across_two_others_is_not_found() -> None:
    """Bytes 4 to 12 of two neighbours form a third number; it starts at no hash."""
    first, second = bytes([0, 0, 0, 0, 9, 9, 9, 1]), bytes([9, 9, 9, 1, 0, 0, 0, 2])
    across = first[4:] + second[:4]
    names = NameSet(first + second)
    assert names.has_hash(int.from_bytes(first, "little"))
    assert names.has_hash(int.from_bytes(second, "little"))
    assert not names.has_hash(int.from_bytes(across, "little"))


def test_hashes_at_the_ends_of_the_range_are_found() -> None:
    names = NameSet(struct.pack("<3Q", 0, 2**63, 2**64 - 1))
    hashes = (0, 1, 2**63, 2**64 - 2, 2**64 - 1)
    assert [hashed for hashed in hashes if names.has_hash(hashed)] == [0, 2**63, 2**64 - 1]


def test_the_empty_set() -> None:
    assert "a" not in name_set([])
    assert len(name_set([])) == 0


def test_lists_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(
        "\ufeff# comment\n\nads.example \n0.0.0.0 track.example # why\n127.0.0.1 local.example\na b\n", "utf-8"
    )
    assert read_list(str(path)) == ("ads.example", "track.example", "local.example", "a b")


def test_a_list_that_cannot_be_used_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_list(str(tmp_path / "absent.txt"))
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    with pytest.raises(InputError, match="holds no entry"):
        read_list(str(tmp_path / "empty.txt"))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="cannot read the list"):
        read_list(str(tmp_path / "binary.txt"))


def test_the_shipped_list_is_kept_as_a_file_and_a_damaged_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENMILL_ASSETS", str(tmp_path))
    load = name_sets.shipped_list.__wrapped__
    first = load("urls", str)
    assert len(first) == 19_587
    assert "quora.com/Does-regular-masturbation-decrease-the-chance-of-getting-a-woman-pregnant" in first
    [kept] = tmp_path.glob("*.names")
    whole = kept.read_bytes()
    assert len(whole) == 24 + 8 * 19_587
    kept.write_bytes(whole[:-1])
    assert len(load("urls", str)) == 19_587
    assert kept.read_bytes() == whole


def test_without_a_folder_to_write_to_the_list_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TOKENMILL_ASSETS", str(tmp_path / "file" / "below"))
    assert len(name_sets.shipped_list.__wrapped__("urls", str)) == 19_587


def test_a_list_that_datatrove_does_not_carry() -> None:
    with pytest.raises(MissingAssetError) as caught:
        name_sets.datatrove_file("no_such_list.txt")
    assert "shipped_lists" in str(caught.value.hint)


def test_the_archives_digest_is_noted_and_a_changed_archive_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_sets.assets, "folder", lambda: tmp_path / "assets")
    archive = tmp_path / "lists.tar.gz"
    archive.write_bytes(b"one")
    digest = name_sets._digest.__wrapped__
    assert digest(archive) == hashlib.sha256(b"one").hexdigest()
    (note,) = (tmp_path / "assets").glob("url-archive-*.sha256")
    noted = note.read_text()
    note.write_text("0" * 64 + noted[64:])
    assert digest(archive) == "0" * 64, "the note is believed while path, size and time are the same"
    for broken in ("", noted[:40], noted + "x"):
        note.write_text(broken)
        assert digest(archive) == hashlib.sha256(b"one").hexdigest()
    archive.write_bytes(b"other")
    assert digest(archive) == hashlib.sha256(b"other").hexdigest()
