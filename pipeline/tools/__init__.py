"""Work on finished runs (verify, trace, remove, publish, replay, sweep), forecasts, and training of classifiers."""
