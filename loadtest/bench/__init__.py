"""The benchmark: one load, given to the gateway and to its peers in turn, and what it cost each of them.

    uv run --group load python -m loadtest.bench

    contests    which loads there are, who is compared with whom, and the goals
    contenders  how each server is started, and the Valkey under it
    generator   the load: connects members, sends, counts what arrives
    probes      CPU and memory of process trees, Valkey's own counters
    rounds      one measurement, and rounds of them in turn
    report      ratios, tables and the plot; does no I/O but for the plot's file

It compares; it does not judge a change by a clock. Absolute figures belong to one machine and one day, and even
ratios move by some per cent from run to run. What does not move is counted: deliveries, commands per message.
"""
