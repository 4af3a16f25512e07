-- Marks what a user has read in a room, only forward.
-- KEYS: 1 meta hash, 2 read hash
-- ARGV: as they are named below
-- Returns {1 stored, 0 if the user has read as much before, -1 if the position is of another epoch than the room's, -2 if
-- there are as many marks as may be and this user has none; how many messages are unread behind the mark}.
local user, epoch, seq = ARGV[1], ARGV[2], tonumber(ARGV[3])
local ttl_s, users_max = ARGV[4], tonumber(ARGV[5])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if meta[1] ~= epoch then return {-1, 0} end
local newest = tonumber(meta[2])
seq = math.min(seq, newest) -- nobody has read what is still to come
local mark = redis.call('HGET', KEYS[2], user)
if mark then
  local marked_epoch, marked_seq = string.match(mark, '^(.*):(%d+)$')
  if marked_epoch == epoch and tonumber(marked_seq) >= seq then
    redis.call('EXPIRE', KEYS[2], ttl_s)
    return {0, newest - tonumber(marked_seq)}
  end
elseif redis.call('HLEN', KEYS[2]) >= users_max then
  return {-2, newest - seq}
end
redis.call('HSET', KEYS[2], user, epoch .. ':' .. string.format('%d', seq))
redis.call('EXPIRE', KEYS[2], ttl_s)
return {1, newest - seq}
