-- Numbers a message, stores it and tells the room, in one step. Needs epoch.lua.
-- KEYS: 1 history list, 2 meta hash, 3 idempotency key (may be left out). The channel is no key: while its slot
--       moves, a Cluster answers TRYAGAIN to a script with a key that does not exist.
-- ARGV: as they are named below; from `seen_epoch` on they differ from message to message
-- Returns "<epoch>:<seq>", behind "=" if the idempotency key was known and nothing was stored.
local history_key, meta_key, idempotency_key = KEYS[1], KEYS[2], KEYS[3]
local publish_command, channel = ARGV[1], ARGV[2]
local before_position, before_data, after_data = ARGV[3], ARGV[4], ARGV[5] -- what the route puts around a message
local room_json = ARGV[6]
local entries_max, history_ttl_s, meta_ttl_s, idempotency_ttl_s = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local spare_epoch = ARGV[11]
local seen_epoch, seen_seq, seen_other, seen_ms_ago = ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local entry = ARGV[16] -- the stored JSON

if idempotency_key then
  local known = redis.call('GET', idempotency_key)
  if known then return '=' .. known end
end
local epoch, seq, begun_ms = room_position(
  history_key, meta_key, seen_epoch, seen_seq, seen_other, seen_ms_ago, spare_epoch)
local number = string.format('%d', seq + 1)
local position = epoch .. ':' .. number
redis.call('HSET', meta_key, 'epoch', epoch, 'seq', number)
if begun_ms then redis.call('HSET', meta_key, 'begun', string.format('%d', begun_ms)) end
redis.call('EXPIRE', meta_key, meta_ttl_s)
redis.call('RPUSH', history_key, entry)
redis.call('LTRIM', history_key, -tonumber(entries_max), -1)
redis.call('EXPIRE', history_key, history_ttl_s)
if idempotency_key then redis.call('SET', idempotency_key, position, 'EX', idempotency_ttl_s) end
local data = string.sub(entry, 1, -2) .. ',"room":' .. room_json .. ',"id":"' .. position .. '"}'
redis.call(publish_command, channel, before_position .. position .. before_data .. data .. after_data)
return position
