-- Says that a worker lives. Others look whether this changes (state/liveness.py); the time is for people who look.
-- KEYS: 1 sorted set of workers (id -> time of the last heartbeat, s since 1970)
-- ARGV: 1 worker id
-- Returns 1 if the worker was not in the set, else 0.
local worker = ARGV[1]
local time = redis.call('TIME')
return redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, worker)
