-- Takes a session out of a room. Needs verified.lua.
-- KEYS: 1 members hash of the session's worker, 2 users hash, 3 verified hash
-- ARGV: 1 session id
-- Returns {1 if it was the user's last session, else 0; number of users left; now, in s and microseconds}.
local session = ARGV[1]
local stored = redis.call('HGET', KEYS[1], session)
if not stored then return {0, redis.call('HLEN', KEYS[2]), redis.call('TIME')} end
local member = cjson.decode(stored)
redis.call('HDEL', KEYS[1], session)
hold(KEYS[3], member, -1)
local is_last = redis.call('HINCRBY', KEYS[2], member.username, -1) <= 0
if is_last then redis.call('HDEL', KEYS[2], member.username) end
return {is_last and 1 or 0, redis.call('HLEN', KEYS[2]), redis.call('TIME')}
