"""What surrounds a run on a machine: its processes, the signals that end it, and what it writes down."""
