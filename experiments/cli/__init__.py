"""The command line: its entry, the table of commands, the four Lightning stages, parsing and errors."""
