-- Workers whose last heartbeat is too old by the store's own clock. One from the future is no heartbeat: a host's
-- wrong clock, or a server before this one, put it there; it is made one of now, so that it ages from here.
-- KEYS: 1 sorted set of workers (id -> time of the last heartbeat, s since 1970)
-- ARGV: 1 age from which a worker counts as dead (s)
-- Returns their ids.
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1e6
for _, early in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.6f', at + 1), '+inf')) do
  redis.call('ZADD', KEYS[1], string.format('%.6f', at), early)
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', at - tonumber(ARGV[1])))
