"""`gateway`, which `python -m gateway` is too.

Promises that Ctrl-C ends it without a traceback, at whatever moment after the interpreter itself has started. Until
then Ctrl-C is Python's, which shows where it was.
"""

# The module `signal` imports enum, which takes as long as all that comes before.
import _signal  # type: ignore[import-not-found]


def main() -> None:
    """Runs the command line, which takes a while to import: until it is there Ctrl-C just ends the process."""
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from gateway.server.cli import main as command

    command()


if __name__ == "__main__":
    main()
