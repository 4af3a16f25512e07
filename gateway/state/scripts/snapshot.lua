-- Reads a room's history and its position in one step; makes the position if the room has none yet.
-- KEYS: 1 history list, 2 meta hash
-- ARGV: 1 epoch to take if a new one is needed, 2 meta TTL s, 3 epoch and 4 seq that the caller has seen, 5 its doubt:
--       '' none; 'other': it has seen other messages there; and a number: it has seen that on another server, at
--       least so many ms ago. A room that does not hold what the caller has seen has lost data and begins a new epoch. Who has
--       seen it on an old server after the present epoch began here begins one more, so that all hear of that, too.
-- Returns {epoch, seq, entries oldest first, 1 if data was lost and the epoch is new}.
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'begun')
local epoch, seq, age = meta[1], meta[2], tonumber(string.match(ARGV[5], '%d+') or '')
local entries = redis.call('LRANGE', KEYS[1], 0, -1)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has_lost = false
if epoch == ARGV[3] then
  has_lost = tonumber(seq) < tonumber(ARGV[4]) or string.sub(ARGV[5], 1, 5) == 'other'
elseif epoch and age then
  has_lost = age <= now - (tonumber(meta[3]) or 0)
end
if not epoch then seq = tostring(#entries) end
if not epoch or has_lost then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'seq', seq, 'begun', string.format('%d', now))
end
redis.call('EXPIRE', KEYS[2], ARGV[2]) -- always: a demoted primary, whose history is an old one, refuses the write
return {epoch, seq, entries, has_lost and 1 or 0}
