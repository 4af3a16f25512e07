-- Puts a session into a room, or refreshes it; one that is there under another username changes it.
-- KEYS: 1 members hash of the session's worker, 2 users hash
-- ARGV: 1 session id, 2 its JSON (username, since), 3 username, 4 how many users may be there; '0' for any number
-- Returns {1 if the user was not in the room before, else 0, -1 if the room was full and nothing was done; number of
-- users; now, in s and microseconds}.
local session, member, username, users_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local stored = redis.call('HGET', KEYS[1], session)
if users_max ~= '0' and not stored and redis.call('HEXISTS', KEYS[2], username) == 0 then
  local count = redis.call('HLEN', KEYS[2])
  if count >= tonumber(users_max) then return {-1, count, redis.call('TIME')} end
end
redis.call('HSET', KEYS[1], session, member)
local before = stored and cjson.decode(stored).username
if before and before ~= username and redis.call('HINCRBY', KEYS[2], before, -1) <= 0 then
  redis.call('HDEL', KEYS[2], before)
end
local sessions = 0
if before ~= username then sessions = redis.call('HINCRBY', KEYS[2], username, 1) end
return {sessions == 1 and 1 or 0, redis.call('HLEN', KEYS[2]), redis.call('TIME')}
