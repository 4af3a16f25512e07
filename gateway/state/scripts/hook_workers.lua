-- Says that a worker can post to webhooks, or no longer; tells how many can.
-- KEYS: 1 sorted set of workers (id -> time of the last word, s since 1970)
-- ARGV: 1 worker id, 2 how long a word counts (s), 3 '1' if the worker goes
-- Returns the number of workers.
local worker, counts_s, goes = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local now_s = tonumber(redis.call('TIME')[1])
if goes then redis.call('ZREM', KEYS[1], worker) else redis.call('ZADD', KEYS[1], now_s, worker) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_s - counts_s)
redis.call('EXPIRE', KEYS[1], 10 * counts_s)
return redis.call('ZCARD', KEYS[1])
