"""The commands that train nothing, a module each."""
