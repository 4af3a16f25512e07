-- Whether a session may come into a room of which workers keep only their numbers; writes nothing. Needs counted.lua and
-- let_in.lua.
-- KEYS: 1 users hash (of workers of before), 2 counts hash, 3 what moderators have decided
-- ARGV: 1 worker id, 2 how many sessions it has there, with this one, 3 how many may be there ('0': any number), 4 who it
--       is for moderators
-- Returns what presence_join.lua does; nobody is announced.
local worker, own, sessions_max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local refused, decided = turned_away(KEYS[3], ARGV[4])
if refused then return refused end
local count = redis.call('HLEN', KEYS[1]) + counted(KEYS[2], worker) + own
if sessions_max > 0 and count > sessions_max then return {-1, count - 1, redis.call('TIME')} end
return {0, count, redis.call('TIME'), decided and 1 or 0}
