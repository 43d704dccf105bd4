"""The page that describes a data set."""
