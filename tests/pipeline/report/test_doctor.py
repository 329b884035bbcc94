"""What `tokenmill doctor` finds on this machine, and says of what it does not find."""

import importlib.metadata

from pipeline.report.doctor import examine


def test_each_thing_is_found_with_its_version_and_purpose():
    found = {finding.what: finding for finding in examine()}
    assert found["fastwarc"].found == importlib.metadata.version("fastwarc") and found["fastwarc"].ok
    assert found["torch"].purpose == "training"
    assert {"Python", "CPUs", "disk", "ray", "lm-eval", "lid.176.ftz"} <= set(found)


def test_a_missing_language_model_names_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENMILL_ASSETS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    [model] = [finding for finding in examine() if finding.what == "lid.176.ftz"]
    assert not model.ok and "tokenmill assets fetch" in model.found
