-- A worker says how many sessions it has in a room; what other workers said that are gone is taken out. Needs counted.lua.
-- KEYS: 1 users hash (of workers of before), 2 counts hash
-- ARGV: 1 worker id, 2 the number
-- Returns {how many sessions there were, by what was written before; how many there are now}.
local worker, number = ARGV[1], tonumber(ARGV[2])
local users = redis.call('HLEN', KEYS[1])
local before, gone = counted(KEYS[2])
if #gone > 0 then redis.call('HDEL', KEYS[2], unpack(gone, 1, math.min(#gone, 1000))) end
if number > 0 then
  redis.call('HSET', KEYS[2], worker, string.format('%d %d', number, redis.call('TIME')[1]))
  redis.call('EXPIRE', KEYS[2], 2 * COUNTS_S)
else
  redis.call('HDEL', KEYS[2], worker)
end
return {users + before, users + counted(KEYS[2])}
