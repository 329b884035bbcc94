"""Windows: where personal data can be, and nowhere else."""

from pipeline.stages.support.pii_windows import PII_TYPES, windows


def test_hostile_pages_have_few_windows():
    types = frozenset(PII_TYPES)
    for text in ("1 2 3 4 5 " * 2000, "1234567890" * 2000, "@" * 20_000, ":" * 20_000, "a" * 20_000 + "@b.com"):
        assert len(windows(text, types)) <= 1
