"""What a study raises when it has done all it could."""


class RunsFailed(Exception):  # noqa: N818
    """Some of a study's runs failed; the others are done."""
