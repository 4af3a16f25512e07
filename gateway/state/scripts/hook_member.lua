-- Whether a user is in a room, with a version of that higher than all before it.
-- KEYS: 1 users hash, 2 occupied hash (counter: the room's highest version)
-- ARGV: 1 username, 2 how long that is kept (s)
-- Returns {1 if the user is there, else 0; version}.
local username, keep_s = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local counter = tonumber(redis.call('HGET', KEYS[2], 'counter') or '') or 0
local version = math.max(counter + 1, time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[2], 'counter', string.format('%.0f', version))
redis.call('EXPIRE', KEYS[2], keep_s)
return {redis.call('HEXISTS', KEYS[1], username), version}
