"""`python -m gateway` is the command `gateway`."""

from gateway.server.cli import main

main()
