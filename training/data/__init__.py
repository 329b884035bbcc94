"""Token shards as batches: which tokens a step reads is a function of the seed and the step alone."""
