"""The `study` command: variants × settings × seeds, each run a process and a folder of its own."""
