-- Names the workers whose last heartbeat is too old, by the clock of Redis.
-- KEYS: 1 sorted set of workers (id -> time of the last heartbeat, s since 1970)
-- ARGV: 1 age from which a worker counts as dead (s)
-- Returns their ids.
local dead_after_s = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
-- After a failover to a host whose clock is behind, a heartbeat may be from the future. A worker that died with the old
-- host would live on for as long as the clocks differ: such a heartbeat ages from now on.
for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')) do
  redis.call('ZADD', KEYS[1], now, ahead)
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - dead_after_s)
