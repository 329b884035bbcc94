import os
import pickle

import pytest
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata

from pipeline.contract.errors import InputError
from training.checkpoint import load_tensors, model_tensors
from training.config import ModelConfig
from training.model.initialization import new_model
from training.runtime.safe_reader import read_table

SHAPE = ModelConfig(
    vocab_size=70, context_length=16, num_layers=2, hidden_size=32, num_heads=2, tie_word_embeddings=False
)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_hostile_table_of_contents_runs_nothing(save, tmp_path):
    path, marker = save(new_model(SHAPE, seed=1)), tmp_path / "ran"
    (path / "state" / ".metadata").write_bytes(pickle.dumps(Evil(marker)))
    with pytest.raises(InputError, match=r"asks for (posix|os).system, which no checkpoint needs"):
        load_tensors(path, model_tensors(new_model(SHAPE, seed=2)))
    assert not marker.exists()


def test_pickled_entries_are_never_loaded(save):
    path = save(new_model(SHAPE, seed=1))
    table = read_table(path / "state")
    table.state_dict_metadata["model.embed.weight"] = BytesStorageMetadata()
    (path / "state" / ".metadata").write_bytes(pickle.dumps(table))
    with pytest.raises(InputError, match=r"asks for .*BytesStorageMetadata, which no checkpoint needs"):
        load_tensors(path, model_tensors(new_model(SHAPE, seed=2)))


def test_parts_are_read_from_their_folder_alone(save):
    path = save(new_model(SHAPE, seed=1))
    table = read_table(path / "state")
    next(iter(table.storage_data.values())).relative_path = "../../elsewhere.distcp"
    (path / "state" / ".metadata").write_bytes(pickle.dumps(table))
    with pytest.raises(InputError, match="points outside its folder"):
        read_table(path / "state")


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps({"a": 1}), pickle.dumps(Metadata({}, None, None))])
def test_a_damaged_table_of_contents_is_an_input_error(tmp_path, content):
    (tmp_path / ".metadata").write_bytes(content)
    with pytest.raises(InputError, match="is no table of contents of a checkpoint"):
        read_table(tmp_path)
