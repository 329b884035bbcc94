"""What both halves of tokenmill agree on: errors, config, manifests and the shard format.

Needs numpy, pyarrow, PyYAML and the standard library only.
"""
