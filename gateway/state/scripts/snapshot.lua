-- Reads a room's history and its position in one step; makes the position if the room has none yet.
-- KEYS: 1 history list, 2 meta hash
-- ARGV: 1 epoch to take if a new one is needed, 2 meta TTL s,
--       3 epoch and 4 seq that the caller has seen: a Redis that is behind them has lost data and gets a new epoch
-- Returns {epoch, seq, entries oldest first}.
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq')
local epoch, seq = meta[1], meta[2]
local entries = redis.call('LRANGE', KEYS[1], 0, -1)
local is_new = false
if not epoch then
  epoch, seq, is_new = ARGV[1], tostring(#entries), true
elseif epoch == ARGV[3] and tonumber(seq) < tonumber(ARGV[4]) then
  epoch, is_new = ARGV[1], true
end
if is_new then redis.call('HSET', KEYS[2], 'epoch', epoch, 'seq', seq) end
redis.call('EXPIRE', KEYS[2], ARGV[2]) -- always: a demoted primary, whose history is an old one, refuses the write
return {epoch, seq, entries}
