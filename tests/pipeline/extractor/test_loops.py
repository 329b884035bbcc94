"""Helpers of the compiled loops, as the Python that they are."""

import pytest

from pipeline.extractor import layout, loops_attributes, loops_bytes, loops_features, loops_text, vocabulary

TABLES = vocabulary.tables().tolist()


def bytes_of(text: str) -> list[int]:
    return list(text.encode())


@pytest.mark.parametrize("name", ["p", "blockquote", "h1", "aria-hidden", "x-custom"])
def test_names_have_one_hash_in_any_case(name: str) -> None:
    for page in (bytes_of(name), bytes_of(name.upper())):
        assert loops_bytes.hash_of(page, 0, len(page)) == vocabulary.name_hash(name)


@pytest.mark.parametrize("name", vocabulary.ELEMENTS[1:])
def test_every_element_is_found_by_its_name(name: str) -> None:
    assert vocabulary.ELEMENTS[loops_bytes.looked_up(TABLES, 0, vocabulary.name_hash(name))] == name


def test_no_two_names_of_a_table_share_a_hash() -> None:
    words = [word for group in vocabulary.WORDS for word in group]
    for names in (vocabulary.ELEMENTS[1:], vocabulary.ATTRIBUTES, set(words)):
        assert len({vocabulary.name_hash(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("a</script>", 1),
        ("a</SCRIPT >", 1),
        ("a</scripts></script>", 11),
        ("a</scrip", -1),
        ("</ script>", -1),
        ("", -1),
    ],
)
def test_the_end_of_an_element(page: str, found: int) -> None:
    assert loops_bytes.find_close(bytes_of(page), 0, len(page), vocabulary.name_hash("script")) == found


@pytest.mark.parametrize(
    ("page", "begins"),
    [("<p", True), ("</p", True), ("<!", True), ("<?", True), ("< p", False), ("<3", False), ("<", False)],
)
def test_what_begins_a_tag(page: str, begins: bool) -> None:
    assert loops_bytes.begins_tag(bytes_of(page), 0, len(page)) is begins


@pytest.mark.parametrize(
    ("page", "end"), [("&amp;x", 5), ("&#x27;", 6), ("&amp", 0), ("& amp;", 0), ("&;", 0), ("&" + "a" * 40 + ";", 0)]
)
def test_entities(page: str, end: int) -> None:
    assert loops_text.entity_end(bytes_of(page), 0, len(page)) == end


def test_spaces_by_name() -> None:
    for page in ("&nbsp;", "&#160;", "&#xA0;", "&ensp;"):
        assert loops_text.is_blank_entity(bytes_of(page), 0, len(page))
    assert not loops_text.is_blank_entity(bytes_of("&amp;"), 0, 5)


@pytest.mark.parametrize(
    ("page", "end"), [("'a b' c", 5), ('"a>b">', 5), ("ab c", 2), ("ab>", 2), ("'open>", 5), ('"', 1), ("''", 2)]
)
def test_values_of_attributes(page: str, end: int) -> None:
    assert loops_attributes.value_end(bytes_of(page), 0, len(page), [0] * layout.STATE_SIZE) == end


def test_shares_and_headings() -> None:
    assert (loops_features.share(1, 3), loops_features.share(5, 0)) == (333, 0)
    levels = [loops_features.heading_level(vocabulary.ELEMENT[name]) for name in ("h1", "h6", "p", "hr")]
    assert levels == [1, 6, 0, 0]


@pytest.mark.parametrize(
    ("words", "links", "paragraph"), [(20, 6, True), (19, 0, False), (30, 10, True), (30, 11, False)]
)
def test_a_paragraph_is_long_and_mostly_no_link(words: int, links: int, paragraph: bool) -> None:
    block = [0] * layout.BL_COLUMNS
    block[layout.BL_WORDS], block[layout.BL_LINK_WORDS] = words, links
    assert loops_features.is_paragraph(block, 0) is paragraph
