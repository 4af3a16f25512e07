-- Says that a worker lives, by the store's own clock: hosts may have wrong ones.
-- KEYS: 1 sorted set of workers (id -> time of the last heartbeat, s since 1970)
-- ARGV: 1 worker id, 2 how old the heartbeat shall look (s)
-- Returns 1 if the worker was not in the set, else 0.
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1e6 - tonumber(ARGV[2])
return redis.call('ZADD', KEYS[1], string.format('%.6f', at), ARGV[1])
