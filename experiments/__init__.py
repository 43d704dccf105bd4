"""The command line, its configurations, figures and reports."""
