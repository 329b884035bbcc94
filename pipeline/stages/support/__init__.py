"""What stages are made of: models, lists and parsers behind them, and the limits that many of them share."""
