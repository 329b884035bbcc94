"""tokenmill's model half: token shards in, an evaluated model out.

    shards -> pretrain (FSDP2) -> sft -> sample | chat | evaluate | export

Read `pretrain.py` first, then `run.py` and `loop.py`. Of `pipeline` this package knows `pipeline.contract` alone.
"""
