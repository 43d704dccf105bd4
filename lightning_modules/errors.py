"""The one exception for settings that a user can put right."""


class ConfigurationError(ValueError):
    """A model, explainer or checkpoint setting is wrong; the message is one line that says what to do."""
