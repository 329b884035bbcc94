"""Child processes find our modules and those of the user, whatever lies in the folder where they start."""

import os
import subprocess
import sys

from pipeline.contract.child import environment, module_command, module_path


def output_of(command, folder):
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_package_of_the_same_name_in_the_working_directory_hides_nothing(tmp_path):
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text("raise SystemExit('the wrong one')")
    assert output_of(module_command("pipeline.contract.child"), tmp_path) == []


def test_a_module_that_this_process_finds_is_found_and_gets_its_arguments(tmp_path, monkeypatch):
    (tmp_path / "own_module.py").write_text("import sys\nprint('\\n'.join(sys.argv[1:]))")
    monkeypatch.syspath_prepend(tmp_path)
    assert output_of(module_command("own_module", "--flag", "two words"), "/") == ["--flag", "two words"]


def test_variables_given_win_over_those_of_this_process(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LANG", "C")
    found = environment({"COLUMNS": "200"})
    assert (found["COLUMNS"], found["LANG"]) == ("200", "C")
    assert found["PYTHONPATH"].split(os.pathsep) == [folder for folder in sys.path if folder]


def test_the_current_folder_is_left_out_of_a_module_path():
    assert module_path(["", "/a", "", "/b"]) == os.pathsep.join(["/a", "/b"])
    assert module_path([""]) == ""
