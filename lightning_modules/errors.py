"""What a user can put right, and what ends a training."""


class ConfigurationError(ValueError):
    """A model, explainer or checkpoint setting is wrong; the message is one line that says what to do."""


class TrainingError(RuntimeError):
    """A training can't go on; the message is one line that says when that was and what to try."""
