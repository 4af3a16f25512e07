-- Numbers a message, stores it and tells the room, in one step.
-- KEYS: 1 history list, 2 meta hash, 3 idempotency key (may be left out). The channel is no key: while its slot
--       moves, a Cluster answers TRYAGAIN to a script with a key that does not exist.
-- ARGV: 1 publish command, 2 to 4 what stands before, between and after position and data in the channel,
--       5 room as JSON, 6 entries kept, 7 history TTL s, 8 meta TTL s, 9 idempotency TTL s,
--       10 epoch to take if a new one is needed, 11 channel, 12 epoch and 13 seq that the caller has seen (a Redis
--       that is behind them has lost data), 14 entry (the stored JSON)
-- Returns "<epoch>:<seq>".
if KEYS[3] then
  local known = redis.call('GET', KEYS[3])
  if known then return known end
end
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq')
local epoch, seq = meta[1], tonumber(meta[2])
if not epoch then
  epoch, seq = ARGV[10], redis.call('LLEN', KEYS[1])
elseif epoch == ARGV[12] and seq < tonumber(ARGV[13]) then
  epoch = ARGV[10]
end
seq = seq + 1
local position = epoch .. ':' .. string.format('%d', seq)
redis.call('HSET', KEYS[2], 'epoch', epoch, 'seq', string.format('%d', seq))
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('RPUSH', KEYS[1], ARGV[14])
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[6]), -1)
redis.call('EXPIRE', KEYS[1], ARGV[7])
if KEYS[3] then redis.call('SET', KEYS[3], position, 'EX', ARGV[9]) end
local data = string.sub(ARGV[14], 1, -2) .. ',"room":' .. ARGV[5] .. ',"id":"' .. position .. '"}'
redis.call(ARGV[1], ARGV[11], ARGV[2] .. position .. ARGV[3] .. data .. ARGV[4])
return position
