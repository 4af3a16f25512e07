-- Marks a session whose connection dropped; it stays a member until the grace period is over.
-- KEYS: 1 members hash of the session's worker
-- ARGV: 1 session id, 2 now (ms since 1970)
-- Returns 1 if the session was there, else 0.
local session, now_ms = ARGV[1], tonumber(ARGV[2])
local stored = redis.call('HGET', KEYS[1], session)
if not stored then return 0 end
local member = cjson.decode(stored)
member.leaving = now_ms
redis.call('HSET', KEYS[1], session, cjson.encode(member))
return 1
