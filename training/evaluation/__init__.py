"""What a model is measured by: held-out loss, bits per byte, and benchmarks through lm-evaluation-harness."""
