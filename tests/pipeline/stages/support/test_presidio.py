"""Presidio loaded in parts: the same findings, and no network."""

import json
import subprocess
import sys
from collections import Counter

from pipeline.stages.pii import Pii
from pipeline.stages.support import pii_recognizers as recognizers


def found(text, **options):
    return [(span.type, text[span.start : span.stop]) for span in Pii(**options).find(text)]


def test_presidio_loaded_in_parts_finds_what_the_whole_package_finds():
    texts = ("a@b.com", "a@b.invalid", " 10.0.0.1 ", "4012888888881881", "DE89370400440532013000", "536-22-1234", "::1")
    program = (
        "import sys, json; from pipeline.stages.support import presidio, pii_recognizers as ours\n"
        "from pipeline.stages.support.pii_windows import PII_TYPES, Window\n"
        "if len(sys.argv) > 2: import tldextract; presidio._import_isolated = None\n"
        "found = [ours.recognize(text, Window(kind, 0, len(text)), ('US',)) for text in json.loads(sys.argv[1])"
        " for kind in PII_TYPES]\n"
        "print(json.dumps(found))"
    )
    alone, whole = (
        subprocess.run(
            [sys.executable, "-c", program, json.dumps(texts), *more], check=True, capture_output=True, text=True
        ).stdout
        for more in ((), ("whole",))
    )
    assert json.loads(alone) == json.loads(whole)
    assert len([spans for spans in json.loads(alone) if spans]) >= 5


def test_another_build_of_presidio_is_imported_whole(monkeypatch):
    from pipeline.stages.support import presidio

    monkeypatch.setitem(presidio._BASES, "NoSuchClass", "pattern")
    monkeypatch.setattr(presidio, "_loaded", {})
    found = presidio.recognizer_class("generic.ip_recognizer", "IpRecognizer")
    assert [r.entity_type for r in found().analyze("at 10.0.0.1 now", ["IP_ADDRESS"], None)] == ["IP_ADDRESS"]
    assert found.__mro__[1] is sys.modules["presidio_analyzer"].PatternRecognizer


def test_no_network_is_asked_for_the_suffix_list(monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("a network call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    recognizers._recognizer.cache_clear()
    recognizers.presidio.suffix_extractor.cache_clear()
    recognizers._recognize.cache_clear()
    assert found("fresh.address@mill.org.uk") == [("EMAIL_ADDRESS", "fresh.address@mill.org.uk")]


def test_recall_and_precision_are_no_worse_than_presidio_on_whole_texts(shared_data):
    """The floors are Presidio's own recognizers called on the whole text, by overlap, at score 0.4."""
    floors = {
        "EMAIL_ADDRESS": (1.0, 1.0),
        "IP_ADDRESS": (1.0, 1.0),
        "PHONE_NUMBER": (0.59, 0.72),
        "CREDIT_CARD": (0.92, 1.0),
        "IBAN_CODE": (0.95, 1.0),
        "US_SSN": (1.0, 1.0),
    }
    rows = [json.loads(line) for line in (shared_data / "pii" / "presidio.jsonl").read_text("utf-8").splitlines()]
    stage = Pii(public_ips_only=False)  # the labels count private addresses
    labelled, hit, predicted, right = Counter(), Counter(), Counter(), Counter()
    for row in rows:
        spans = stage.find(row["text"])
        labels = [(label["type"], label["start"], label["end"]) for label in row["spans"]]
        for type_, start, end in labels:
            labelled[type_] += 1
            hit[type_] += any(s.type == type_ and s.start < end and start < s.stop for s in spans)
        for s in spans:
            predicted[s.type] += 1
            right[s.type] += any(s.type == type_ and s.start < end and start < s.stop for type_, start, end in labels)
    for type_, (recall, precision) in floors.items():
        assert round(hit[type_] / labelled[type_], 2) >= recall, type_
        assert right[type_] / predicted[type_] >= precision, type_
