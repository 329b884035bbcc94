"""What works on a config or on a finished run: its speed, its pages, its model in another format."""
