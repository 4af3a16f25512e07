-- Reads where a room is and what a user has read of it.
-- KEYS: 1 history list, 2 meta hash, 3 read hash
-- ARGV: 1 the user's id, empty for a guest, 2 how many marks a room may have
-- Returns {epoch, empty if the room has no position; seq; the user's mark, empty if it has none; 1 if it can have none,
-- because there are as many as may be}.
local user, users_max = ARGV[1], tonumber(ARGV[2])
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq')
local seq = meta[2] or string.format('%d', redis.call('LLEN', KEYS[1])) -- the old service's: counted from 1 once joined
if user == '' then return {meta[1] or '', seq, '', 0} end
local mark = redis.call('HGET', KEYS[3], user)
local is_off = not mark and redis.call('HLEN', KEYS[3]) >= users_max
return {meta[1] or '', seq, mark or '', is_off and 1 or 0}
