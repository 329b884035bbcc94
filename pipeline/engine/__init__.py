"""Splits, tasks, commits, isolation and progress; knows nothing of what a stage does."""
