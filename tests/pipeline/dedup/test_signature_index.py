import numpy as np
import pytest

from pipeline.contract.config import resolved
from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.choose import MAX_OLD, choose, read_verdicts, write_members
from pipeline.dedup.config import DedupConfig, MinHashConfig, VerifyConfig
from pipeline.dedup.signature_index import compact, signature_differences
from pipeline.dedup.signing import Signer

GLOBAL = DedupConfig(scope="global")
WORDS = [f"w{chr(97 + a)}{chr(97 + b)}" for a in range(20) for b in range(20)]


def signed(path, texts, config=GLOBAL, scopes=None):
    signer = Signer(config)
    signer.add(texts, np.arange(1, len(texts) + 1, dtype=np.uint64), scopes or [""] * len(texts))
    write_arrays(path, signer.arrays())
    return ArrayFile(path)


def members(path, texts, roots, names):
    """A file of members of which every text is one."""
    file = signed(path.with_suffix(".signature"), texts)
    write_members(file, np.arange(len(texts), dtype=np.uint64), np.array(roots, np.uint64), names, 1, path)
    return path


def texts():
    return [" ".join(WORDS[start : start + 100]) for start in (0, 50, 100, 150, 200, 250)] + ["", "one word"]


@pytest.mark.parametrize("config", [GLOBAL, DedupConfig(scope="language"), DedupConfig(minhash=None, scope="global")])
@pytest.mark.parametrize("kept", [[], [1, 3, 4, 7], list(range(8))])
def test_an_index_is_what_signing_the_kept_documents_alone_would_give(tmp_path, config, kept):
    scopes = ["en", "de"] * 4
    signature = signed(tmp_path / "all", texts(), config, scopes)
    found = compact(signature, np.array(kept, np.int64))
    alone = Signer(config)
    if kept:
        alone.add([texts()[n] for n in kept], np.ones(len(kept), np.uint64), [scopes[n] for n in kept])
    wanted = alone.arrays() | {"order": np.zeros(len(kept), np.uint64)}
    assert set(found) == set(wanted)
    for name in wanted:
        assert np.array_equal(found[name], wanted[name]), name
        assert found[name].dtype == wanted[name].dtype or not kept


def judge(tmp_path, new, earlier):
    path = tmp_path / "verdicts"
    counts = choose([new], 0, path, 1 << 30, earlier)
    return counts, read_verdicts([path], 0).to_pylist()


def test_a_document_goes_for_the_most_similar_of_earlier_ones(tmp_path):
    new = members(tmp_path / "new", [" ".join(WORDS[:100]), " ".join(WORDS[200:300])], [7, 9], ["n0", "n1"])
    far = members(tmp_path / "far", [" ".join(WORDS[40:140])], [7], ["far"])
    near = members(tmp_path / "near", [" ".join(WORDS[20:120]), " ".join(WORDS[1:101])], [7, 7], ["near", "nearest"])
    counts, (first, second) = judge(tmp_path, new, [far, near])
    assert counts == (2, 1)
    assert (first["kept"], first["old"], first["same_text"]) == ("nearest", (1 << 32) | 1, False)
    assert first["jaccard"] == pytest.approx(95 / 97, abs=0.1)
    assert (second["kept"], second["old"]) == (None, None)


def test_the_same_text_comes_before_any_similar_one_and_ties_go_to_the_first_run(tmp_path):
    text = " ".join(WORDS[:100])
    new = members(tmp_path / "new", [text], [7], ["n"])
    old = [members(tmp_path / str(n), [content], [7], [str(n)])
           for n, content in enumerate([" ".join(WORDS[1:101]), text, text])]  # fmt: skip
    _, [verdict] = judge(tmp_path, new, old)
    assert (verdict["kept"], verdict["old"], verdict["same_text"], verdict["jaccard"]) == ("1", 1 << 32, True, 1.0)


def test_every_new_member_of_a_cluster_with_an_earlier_document_goes(tmp_path):
    """Also the one that is like another new one alone; it goes for what there is."""
    content = [" ".join(WORDS[:100]), " ".join(WORDS[300:400])]
    new = members(tmp_path / "new", content, [7, 7], ["a", "b"])
    old = members(tmp_path / "old", [content[0]], [7], ["old"])
    counts, verdicts = judge(tmp_path, new, [old])
    assert counts == (1, 2)
    assert [row["kept"] for row in verdicts] == ["old", "old"]
    assert verdicts[1]["jaccard"] < 0.1


def test_of_very_many_earlier_documents_the_first_are_compared(tmp_path):
    text = " ".join(WORDS[:100])
    new = members(tmp_path / "new", [text], [7], ["n"])
    content = [" ".join(WORDS[10:110])] * MAX_OLD + [text]
    old = members(tmp_path / "old", content, [7] * len(content), [str(n) for n in range(len(content))])
    assert judge(tmp_path, new, [old])[1][0]["kept"] == "0"
    content = content[1:]
    old = members(tmp_path / "old", content, [7] * len(content), [str(n) for n in range(len(content))])
    assert judge(tmp_path, new, [old])[1][0]["kept"] == str(MAX_OLD - 1)


def test_clusters_of_earlier_documents_alone_judge_nobody(tmp_path):
    new = members(tmp_path / "new", [" ".join(WORDS[:100])], [7], ["n"])
    old = members(tmp_path / "old", [" ".join(WORDS[:100])], [8], ["old"])
    assert judge(tmp_path, new, [old])[0] == (1, 0)


def test_only_what_makes_signatures_differ_is_compared():
    old = resolved(GLOBAL)
    verified = MinHashConfig(verify=VerifyConfig())
    same = DedupConfig(scope="global", keep="longest", minhash=verified, previous_runs=("x",))
    assert signature_differences(old, same) == []
    other = DedupConfig(scope="language", minhash=MinHashConfig(ngram=4, seed=2))
    assert signature_differences(old, other) == [
        'dedup.scope: "global" -> "language"', "dedup.minhash.ngram: 5 -> 4", "dedup.minhash.seed: 1 -> 2",
    ]  # fmt: skip
    assert signature_differences(resolved(DedupConfig(minhash=None, scope="global")), GLOBAL)
