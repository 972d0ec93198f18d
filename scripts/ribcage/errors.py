"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Input that cannot be used: one sentence that says what is wrong, where, and what to do.

    The runner prints the sentence alone, without a traceback, and exits with code 1.
    """
