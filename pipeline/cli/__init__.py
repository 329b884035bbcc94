"""The command line: `main` is `tokenmill`; a module for each group of commands, thin over what does the work."""
