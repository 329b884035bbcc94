"""Personal data: what is replaced, what is left, and that a second pass finds nothing."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stages.pii import PLACEHOLDERS, Pii, _without_overlaps
from pipeline.stages.support import pii_recognizers as recognizers
from pipeline.stages.support.pii_windows import PII_TYPES

Span = recognizers.Span


def found(text, **options):
    return [(span.type, text[span.start : span.stop]) for span in Pii(**options).find(text)]


EACH = {
    "EMAIL_ADDRESS": "Write to jo.miller+mill@grain-store.co.uk, please.",
    "IP_ADDRESS": "The server at 8.8.4.4 answered.",
    "PHONE_NUMBER": "Call (212) 555-0187 before noon.",
    "CREDIT_CARD": "Card 4111 1111 1111 1111 was charged.",
    "IBAN_CODE": "Pay to DE89 3704 0044 0532 0130 00 today.",
    "US_SSN": "His number is 536-90-4399 they said.",
}


@pytest.mark.parametrize("type_", PII_TYPES)
def test_each_type_is_replaced_and_counted(make_doc, type_):
    doc = make_doc(EACH[type_])
    [(_, value)] = found(doc.text)
    for stage, substitute in ((Pii(), PLACEHOLDERS[type_]), (Pii(replacement="tag"), f"<{type_}>")):
        scrubbed = stage(doc)
        assert scrubbed.text == doc.text.replace(value, substitute)
        assert scrubbed.pii_counts == {type_: 1}
        assert stage(scrubbed) is scrubbed


@pytest.mark.parametrize("type_", PII_TYPES)
def test_a_type_that_is_not_asked_for_stays(make_doc, type_):
    doc = make_doc(EACH[type_])
    others = tuple(other for other in PII_TYPES if other != type_)
    assert Pii(types=others)(doc) is doc
    assert Pii(types=())(doc) is doc


def test_a_clean_document_is_handed_on_as_it_is_and_presidio_is_not_even_loaded(make_doc):
    program = (
        "import sys; from pipeline.document import Document; from pipeline.stages.pii import Pii;"
        "doc = Document(id='1', url='', text='In 2019, 1,000 of 3.14 people met @noon::ish at 12:30.');"
        "assert Pii()(doc) is doc; assert 'pipeline.stages.support.presidio' in sys.modules;"
        "assert 'regex' not in sys.modules;"
        "Pii()(doc.replace(text='a@b.com or +1 212 555 0187'));"
        "assert not {'spacy', 'torch', 'requests', 'tldextract', 'presidio_analyzer'} & {*sys.modules}, 'as it was'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ask a.b@mill.org.", ["a.b@mill.org"]),
        ("müller@mühle.de", ["müller@mühle.de"]),
        ("联系我们foo@bar.com谢谢", ["foo@bar.com"]),  # Presidio alone takes the whole line or nothing
        ("foo@bar.com으로 보내", ["foo@bar.com"]),
        ("пишите на иван@почта.рф", ["иван@почта.рф"]),
        ("one@a.com,two@b.org;three@c.net", ["one@a.com", "two@b.org", "three@c.net"]),
        ("a@b@c.com", ["b@c.com"]),
        ("@handle and me@localhost and x@y.notatld", []),
        ("email@example.com", []),  # our own replacement
        ("e@mail", []),
    ],
)
def test_emails(text, expected):
    assert [value for _, value in found(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 8.8.8.8, then", ["8.8.8.8"]),
        ("1.1.1.1", ["1.1.1.1"]),
        ("route 151.101.0.0/16", ["151.101.0.0/16"]),
        ("at 2a00:1450:4001:81b::200e now", ["2a00:1450:4001:81b::200e"]),
        ("at 2a00:1450:4001:081b:0000:0000:0000:200e", ["2a00:1450:4001:081b:0000:0000:0000:200e"]),
        ("version 1.2.3.4.5 and 0.1.2.3.4", []),
        ("v1.2.3.4 and 1.2.3.4a", []),
        ("999.1.1.1 and 1.2.3", []),
        ("std::vector, a::b, Foo::Bar, ::", []),
        ("at 12:30:45 on aa:bb:cc:dd:ee:ff", []),
    ],
)
def test_ip_addresses(text, expected):
    assert [value for _, value in found(text)] == expected


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.178.20", "127.0.0.1", "169.254.1.1", "192.0.2.1", "203.0.113.77", "fe80::1", "::1"]
)
def test_addresses_that_are_not_public_stay_unless_asked_for(address):
    assert found(f"host {address} up") == []
    assert found(f"host {address} up", public_ips_only=False) == (
        [] if address == PLACEHOLDERS["IP_ADDRESS"] else [("IP_ADDRESS", address)]
    )


def test_a_private_address_is_not_taken_for_a_phone_number():
    assert found("at 192.168.100.200 we") == found("at 10.123.123.123 we") == []


def test_an_ipv6_address_gets_an_ipv6_placeholder(make_doc):
    for stage in (Pii(), Pii(public_ips_only=False)):
        scrubbed = stage(make_doc("at 2a00:1450:4001:81b::200e"))
        assert (scrubbed.text, scrubbed.pii_counts) == ("at 2001:db8::1", {"IP_ADDRESS": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(212) 555-0187", ["(212) 555-0187"]),
        ("+44 20 7946 0018", ["+44 20 7946 0018"]),
        ("+81 158-23-2012", ["+81 158-23-2012"]),  # not a social security number
        ("Tel. 030 65211-1780", ["030 65211-1780"]),
        ("tel 212-555-0187 x123", ["212-555-0187 x123"]),
        ("0800 024 8997", ["0800 024 8997"]),
        ("on 12.12.2019 at 10.30", []),
        ("26.06.2012\u00a010:43", []),
        ("15.00 - 16.45", []),
        ("1800 – 2000 m", []),
        ("2014-02-03 12:00:01", []),
        ("ISBN 0-521-53927-7", []),
        ("1920 x 1080 px, 10 000 000", []),
        ("01683 Nossen, 16469", []),
        ("id 123456789", []),
        ("0961203315573347", []),
        ("annrheumdis-2014-205577", []),
        ("https://site.example/a/2125550187", []),
        ("call 2125550187", ["2125550187"]),
    ],
)
def test_phone_numbers(text, expected):
    assert [value for _, value in found(text)] == expected


def test_national_numbers_are_those_of_the_regions_given():
    assert found("22 95 90 00 in Oslo") == []
    assert found("22 95 90 00 in Oslo", phone_regions=("NO",)) == [("PHONE_NUMBER", "22 95 90 00")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111111111111111", ["CREDIT_CARD"]),
        ("4111-1111-1111-1111", ["CREDIT_CARD"]),
        ("12 34 56 4111 1111 1111 1111 78", ["CREDIT_CARD"]),
        ("4111111111111112", []),  # wrong check digit
        ("0.4111111111111111 and 3,4111111111111111", []),
        ("DE89370400440532013000", ["IBAN_CODE"]),
        ("GB82 WEST 1234 5698 7654 32", ["IBAN_CODE"]),
        ("DE89370400440532013001", []),
        ("536-90-4399", ["US_SSN"]),
        ("000-90-4399", []),
        ("536-90 4399", []),
    ],
)
def test_numbers_with_a_check(text, expected):
    assert [type_ for type_, _ in found(f"number {text} here")] == expected


def test_min_score_is_inclusive():
    assert found("(212) 555-0187", min_score=0.4) == [("PHONE_NUMBER", "(212) 555-0187")]
    assert found("(212) 555-0187", min_score=0.41) == []


def test_of_overlapping_findings_the_surer_then_the_longer_then_the_earlier_wins():
    sure, long, late = Span("CREDIT_CARD", 5, 9, 1.0), Span("PHONE_NUMBER", 0, 6, 0.4), Span("PHONE_NUMBER", 9, 12, 0.4)
    assert _without_overlaps([long, late, sure]) == [sure, late]
    short = Span("PHONE_NUMBER", 3, 8, 0.4)
    assert _without_overlaps([short, long]) == [long]
    assert _without_overlaps([Span("US_SSN", 4, 8, 0.4), Span("US_SSN", 2, 6, 0.4)]) == [Span("US_SSN", 2, 6, 0.4)]


def test_counts_add_up_over_types_and_passes(make_doc):
    doc = make_doc("a@b.com 8.8.8.8 c@d.org").replace(pii_counts={"EMAIL_ADDRESS": 1, "US_SSN": 2})
    assert Pii()(doc).pii_counts == {"EMAIL_ADDRESS": 3, "IP_ADDRESS": 1, "US_SSN": 2}


@pytest.mark.parametrize(
    "stage", [Pii(), Pii(public_ips_only=False), Pii(replacement="tag")], ids=["default", "all-ips", "tag"]
)
@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from([*(text.split(" ", 2)[-1] for text in EACH.values()), *PLACEHOLDERS.values()]),
            st.text("0123456789 -.+()/@:xaAB<>_,\n", max_size=8),
        ),
        max_size=6,
    )
)
def test_a_second_pass_finds_nothing(pieces, stage):
    once, _ = stage.scrub("".join(pieces))
    assert stage.scrub(once) == (once, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_score": 1.1}, "min_score: must be from 0 to 1, got 1.1"),
        ({"phone_regions": ("GB", "UK")}, "phone_regions: no country code such as GB or US: 'UK'"),
    ],
)
def test_impossible_values(options, message):
    with pytest.raises(ValueError, match=message):
        Pii(**options)
