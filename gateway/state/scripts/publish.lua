-- Numbers a message, stores it and tells the room, in one step.
-- KEYS: 1 history list, 2 meta hash, 3 idempotency key (may be left out). The channel is no key: while its slot
--       moves, a Cluster answers TRYAGAIN to a script with a key that does not exist.
-- ARGV: 1 publish command, 2 to 4 what stands before, between and after position and data in the channel,
--       5 room as JSON, 6 entries kept, 7 history TTL s, 8 meta TTL s, 9 idempotency TTL s,
--       10 epoch to take if a new one is needed, 11 channel, 12 epoch and 13 seq that the caller has seen and
--       14 its doubt: as in snapshot.lua, 15 entry (the stored JSON)
-- Returns "<epoch>:<seq>", behind "=" if the idempotency key was known and nothing was stored.
if KEYS[3] then
  local known = redis.call('GET', KEYS[3])
  if known then return '=' .. known end
end
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'begun')
local epoch, seq, begun = meta[1], tonumber(meta[2]), nil
local has_lost = false
if epoch == ARGV[12] then
  has_lost = seq < tonumber(ARGV[13]) or string.sub(ARGV[14], 1, 5) == 'other'
end
if not epoch or has_lost or (epoch ~= ARGV[12] and ARGV[14] ~= '') then
  local time, age = redis.call('TIME'), tonumber(string.match(ARGV[14], '%d+') or '')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if epoch and age and epoch ~= ARGV[12] then has_lost = age <= now - (tonumber(meta[3]) or 0) end
  if not epoch then seq = redis.call('LLEN', KEYS[1]) end
  if not epoch or has_lost then epoch, begun = ARGV[10], now end
end
seq = seq + 1
local position = epoch .. ':' .. string.format('%d', seq)
redis.call('HSET', KEYS[2], 'epoch', epoch, 'seq', string.format('%d', seq))
if begun then redis.call('HSET', KEYS[2], 'begun', string.format('%d', begun)) end
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('RPUSH', KEYS[1], ARGV[15])
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[6]), -1)
redis.call('EXPIRE', KEYS[1], ARGV[7])
if KEYS[3] then redis.call('SET', KEYS[3], position, 'EX', ARGV[9]) end
local data = string.sub(ARGV[15], 1, -2) .. ',"room":' .. ARGV[5] .. ',"id":"' .. position .. '"}'
redis.call(ARGV[1], ARGV[11], ARGV[2] .. position .. ARGV[3] .. data .. ARGV[4])
return position
