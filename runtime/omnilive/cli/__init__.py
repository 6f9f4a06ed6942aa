"""The command line: arguments in, one line per error out."""
