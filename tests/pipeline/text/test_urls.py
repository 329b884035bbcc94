"""The parts of a URL, whatever stands in it."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.urls import parent_domains, path_prefixes, split_url, url_words


@given(url=st.text(max_size=60))
def test_any_text_splits_into_a_host_and_a_path(url: str) -> None:
    host, path = split_url(url.lower())
    assert "?" not in path and "#" not in path
    assert len(list(parent_domains(host))) <= 32
    assert all(address.startswith(host.removeprefix("www.")) for address in path_prefixes(host, path))


def test_the_parts_of_an_address() -> None:
    assert split_url("http://me:pw@www.köln.example.:8080/a/b?c#d") == ("www.xn--kln-sna.example", "/a/b")
    assert list(parent_domains("a.b.example")) == ["a.b.example", "b.example", "example"]
    assert list(path_prefixes("www.x.example", "/a//b/")) == ["x.example/a", "x.example/a/b"]
    assert url_words("http://x.example/été_2/%41") == ["http", "x", "example", "t", "2", "41"]
