"""The hostile benchmark: what people notice of a few connections that send what no honest client sends.

    uv run --group load python -m loadtest.hostile

    kinds      what hostile connections send
    attacker   the process that sends it
    bystander  honest members who talk, and one who asks /healthz
    siege      ten kinds at once, for minutes; and one member who sends 200 messages a second
    measure    one kind: idle and hostile in turn, a gateway of one worker for each
    __main__   the command line and the table

Every kind is measured with 1 and 10 per cent of the sockets hostile, against as many that are idle; and while one
connection sends 1 MB at once, the worst wait for /healthz. Ratios on a shared machine move by some tens of per cent.
"""
