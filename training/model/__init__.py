"""The network, its weights, what it costs, what updates it, and text from it; nothing about processes or data."""
