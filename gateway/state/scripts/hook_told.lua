-- A webhook was told whether somebody is in a room.
-- KEYS: 1 how far the webhook was told
-- ARGV: 1 fence of the writer, 2 version of what it was told, 3 how long that is kept (s)
-- Returns 1; 0 if another has written under a higher fence, and nothing was done.
local fence, version, keep_s = ARGV[1], ARGV[2], ARGV[3]
local told = redis.call('HMGET', KEYS[1], 'told', 'fence')
if (tonumber(told[2] or '') or 0) > tonumber(fence) then return 0 end
if (tonumber(told[1] or '') or 0) < tonumber(version) then
  redis.call('HSET', KEYS[1], 'told', version, 'fence', fence)
end
redis.call('EXPIRE', KEYS[1], keep_s)
return 1
