-- Takes a session out of a room. With ARGV[2] = '1' only if it is still marked as away.
-- KEYS: 1 members hash, 2 users hash
-- ARGV: 1 session id, 2 '1' if only an away session may be taken out
-- Returns {1 if it was the user's last session, else 0; number of users left}.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return {0, redis.call('HLEN', KEYS[2])} end
local member = cjson.decode(stored)
if ARGV[2] == '1' and not member.leaving then return {0, redis.call('HLEN', KEYS[2])} end
redis.call('HDEL', KEYS[1], ARGV[1])
local is_last = redis.call('HINCRBY', KEYS[2], member.username, -1) <= 0
if is_last then redis.call('HDEL', KEYS[2], member.username) end
return {is_last and 1 or 0, redis.call('HLEN', KEYS[2])}
