"""`python -m pipeline.cli`: the command without its launcher."""

from pipeline.cli.main import main

main()
