"""The benchmark: one load, given to the gateway and to others at the same time, and what it cost each of them.

    uv run --group load python -m loadtest.bench

    contests    which loads there are, who is compared with whom, and the goals
    contenders  how each server is started, and the Valkey under it
    generator   the load: connects members, sends, counts what arrives
    probes      CPU and memory of process trees, Valkey's own counters
    standing    a contender that runs, with its load and its probes
    measuring   how each kind of contest is measured, round by round
    rounds      a whole contest
    report      ratios, goals, tables; does no I/O
    plot        the picture
    stored      results in a folder
    pages       the tables on the pages, from what is published in results/
    units       what one of each costs, for the calculator (loadtest/capacity.py)

It compares; it does not judge a change by a clock. Absolute figures belong to one machine and one day, and even
ratios move by some per cent from run to run. What does not move is counted: deliveries, commands per message.
"""
