"""The exceptions that mean something to the user of a program."""

from collections.abc import Sequence


class UserError(Exception):
    """Bad input. Its text is one sentence that names the file or option and says what to do."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM) and has saved what it had; like KeyboardInterrupt, no failure."""


class Failures(Exception):
    """Some of the inputs cannot be done: a sentence on each of these, like that of a UserError. The others are done."""

    def __init__(self, problems: Sequence[str], asked: int) -> None:
        others = "; the others are done" if len(problems) < asked else ""
        super().__init__(f"{len(problems)} of {asked} recordings could not be separated{others}")
        self.problems, self.asked = problems, asked
