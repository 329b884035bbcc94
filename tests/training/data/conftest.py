"""A shard that one can read off."""

import pytest

from pipeline.contract.shards import open_shards


@pytest.fixture
def three_documents(tmp_path, write_tokens):
    """Ids: a b c . | d e f g . | h .   with . = end of text; positions 0 to 10."""
    return open_shards(write_tokens(tmp_path / "tokens", ["abc", "defg", "h"])).shards[0]
