-- Says that a worker lives, by the clock of Redis: those of hosts may be wrong.
-- KEYS: 1 sorted set of workers (id -> time of the last heartbeat, s since 1970)
-- ARGV: 1 worker id, 2 how old the heartbeat shall look (s)
-- Returns 1 if the worker was not in the set, else 0.
local worker, age_s = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
return redis.call('ZADD', KEYS[1], now - age_s, worker)
