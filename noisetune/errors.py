"""What a user did wrong, as one message."""


class UserError(Exception):
    """A mistake that the user can mend: shown as one message, without a traceback, exit code 2.

    The message names the file or field, the value, the rule it breaks and what to do.
    """
