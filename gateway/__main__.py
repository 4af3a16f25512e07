"""`gateway`, which `python -m gateway` is too.

Promises that Ctrl-C ends it without a traceback, at whatever moment.
"""

import signal


def main() -> None:
    """Runs the command line, which takes a while to import: until it is there Ctrl-C just ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gateway.server.cli import main as command

    command()


if __name__ == "__main__":
    main()
