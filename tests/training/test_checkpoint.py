import dataclasses
import json

import pytest
import torch

from pipeline.contract.config import resolved
from pipeline.contract.errors import InputError, IntegrityError
from training import checkpoint
from training.checkpoint import Progress, load_for_inference, load_tensors, load_weights, model_tensors
from training.config import ModelConfig
from training.model.initialization import new_model

SHAPE = ModelConfig(
    vocab_size=70, context_length=16, num_layers=2, hidden_size=32, num_heads=2, tie_word_embeddings=False
)


@pytest.mark.parametrize("where", ["", "checkpoints", "checkpoints/step-00000007"])
def test_a_model_comes_back_from_run_folder_checkpoints_folder_or_checkpoint(save, tmp_path, where):
    model = new_model(SHAPE, seed=1)
    save(new_model(SHAPE, seed=2), step=3)
    save(model, step=7)
    loaded, tokenizer, config = load_for_inference(tmp_path / where)
    assert config == SHAPE
    assert not loaded.training
    assert tokenizer.encode("hi").ids == [104, 105]
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_a_checkpoint_tells_what_it_is(save):
    path = save(new_model(SHAPE, seed=1), step=7, files={"chat_template.jinja": b"x"})
    found = checkpoint.read(path, check_hashes=True)
    assert found.progress == Progress(step=7, sequences=56, tokens=448)
    assert (found.kind, found.model_config) == ("pretrain", SHAPE)
    assert found.tokenizer_info.end_of_text_id == 256
    assert (path / "chat_template.jinja").read_bytes() == b"x"


def test_the_newest_is_by_number_not_by_name(save, tmp_path):
    for step in (2, 10, 100_000_001):
        save(new_model(SHAPE, seed=1), step=step)
    assert [checkpoint.read(path).progress.step for path in checkpoint.list_checkpoints(tmp_path / "checkpoints")] == [
        2, 10, 100_000_001,
    ]  # fmt: skip


def test_a_killed_save_leaves_the_one_before(save, tmp_path, monkeypatch):
    """Die (as far as the disk can tell) just before the rename, and before the manifest."""
    before = new_model(SHAPE, seed=1)
    save(before, step=1)
    for dies_at in ("_publish", "write_json"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(checkpoint, dies_at, kill)
            save(new_model(SHAPE, seed=2), step=2)
    folder = tmp_path / "checkpoints"
    assert len(list(folder.iterdir())) == 3
    assert checkpoint.find(tmp_path).name == "step-00000001"
    loaded, _, _ = load_for_inference(tmp_path)
    assert torch.equal(loaded.embed.weight, before.embed.weight)
    checkpoint.clean_up(folder, keep=None)
    assert [path.name for path in folder.iterdir()] == ["step-00000001"]


def kill(*_):
    raise KeyboardInterrupt


def test_saving_a_step_again_replaces_it(save):
    save(new_model(SHAPE, seed=1), step=4)
    again = new_model(SHAPE, seed=2)
    loaded, _, _ = load_for_inference(save(again, step=4))
    assert torch.equal(loaded.embed.weight, again.embed.weight)


@pytest.mark.parametrize(
    ("keep", "every", "left"),
    [(2, None, [4, 5]), (None, None, [1, 2, 3, 4, 5]), (1, 2, [2, 4, 5]), (9, None, [1, 2, 3, 4, 5])],
)
def test_old_checkpoints_go(tmp_path, keep, every, left):
    for step in range(1, 6):
        (tmp_path / f"step-{step:08d}" / "state").mkdir(parents=True)
    checkpoint.clean_up(tmp_path, keep=keep, keep_every=every)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == [f"step-{step:08d}" for step in left]
    assert len(list(tmp_path.iterdir())) == len(left)


def test_a_flipped_bit_is_found(save):
    path = save(new_model(SHAPE, seed=1))
    part = path / "state" / "__0_0.distcp"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    checkpoint.read(path)
    with pytest.raises(IntegrityError, match=r"__0_0.distcp: sha256 is"):
        checkpoint.read(path, check_hashes=True)


@pytest.mark.parametrize("name", ["state/__0_0.distcp", "config.json", "tokenizer.json", "state/.metadata"])
def test_missing_and_truncated_files_are_found(save, name):
    path = save(new_model(SHAPE, seed=1))
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"bytes, checkpoint.json says|is not valid JSON"):
        checkpoint.read(path)
    (path / name).unlink()
    with pytest.raises(InputError, match=r"is missing|cannot be read: No such file"):
        checkpoint.read(path)


def test_no_checkpoint_says_what_to_give(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.find(tmp_path)
    with pytest.raises(InputError, match="is not there"):
        checkpoint.find(tmp_path / "gone")


@pytest.mark.parametrize(
    "manifest",
    [
        [], {}, {"format_version": 1}, {"format_version": 2, "step": "x"},
        {"format_version": 2, "kind": "pretrain", "step": 1, "sequences": 1, "tokens": 1, "provenance": [], "files": 5},
    ],
)  # fmt: skip
def test_a_strange_manifest_is_refused(save, manifest):
    path = save(new_model(SHAPE, seed=1))
    (path / "checkpoint.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"is not a checkpoint's|has format version 1"):
        checkpoint.read(path)


def test_a_manifest_cannot_point_outside(save):
    path = save(new_model(SHAPE, seed=1))
    manifest = json.loads((path / "checkpoint.json").read_text())
    manifest["files"]["../../secret"] = {"bytes": 1, "sha256": ""}
    (path / "checkpoint.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="names a file outside the checkpoint"):
        checkpoint.read(path)


def test_another_shape_is_refused_by_name(save):
    path = save(new_model(SHAPE, seed=1))
    wider = dataclasses.replace(SHAPE, hidden_size=64)
    with pytest.raises(InputError, match=r"'model.embed.weight' is \(128, 32\), not \(128, 64\)"):
        load_tensors(path, model_tensors(new_model(wider, seed=1)))
    deeper = dataclasses.replace(SHAPE, num_layers=3)
    with pytest.raises(InputError, match=r"has no tensor 'model.blocks.2.attention_norm.weight'"):
        load_tensors(path, model_tensors(new_model(deeper, seed=1)))


@pytest.mark.parametrize("wanted", [70, 75, 200])
def test_a_vocabulary_can_grow(save, wanted):
    parent = new_model(SHAPE, seed=1)
    path = save(parent)
    child = new_model(ModelConfig(**{**resolved(SHAPE), "vocab_size": wanted}), seed=2)
    load_weights(path, child)
    for before, after in ((parent.embed, child.embed), (parent.head, child.head)):
        assert torch.equal(after.weight[:70], before.weight[:70])
        if wanted > 70:
            mean = before.weight[:70].mean(dim=0).expand(wanted - 70, -1)
            assert torch.allclose(after.weight[70:wanted], mean, atol=1e-7)
        assert (after.weight[wanted:] == 0).all()
    assert torch.equal(child.blocks[1].mlp.up.weight, parent.blocks[1].mlp.up.weight)


def test_a_vocabulary_cannot_shrink(save):
    path = save(new_model(SHAPE, seed=1))
    child = new_model(ModelConfig(**{**resolved(SHAPE), "vocab_size": 69}), seed=2)
    with pytest.raises(InputError, match="has a vocabulary of 70; the model's is smaller, 69"):
        load_weights(path, child)
