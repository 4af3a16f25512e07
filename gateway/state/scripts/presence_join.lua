-- Puts a session into a room, or refreshes it.
-- KEYS: 1 members hash, 2 users hash
-- ARGV: 1 session id, 2 its JSON (username, worker, since), 3 username
-- Returns {1 if the user was not in the room before, else 0; number of users}.
local is_known = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local sessions = 0
if not is_known then sessions = redis.call('HINCRBY', KEYS[2], ARGV[3], 1) end
return {sessions == 1 and 1 or 0, redis.call('HLEN', KEYS[2])}
