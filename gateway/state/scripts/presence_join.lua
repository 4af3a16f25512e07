-- Puts a session into a room, or refreshes it; one that is there under another username changes it. Needs verified.lua and
-- let_in.lua.
-- KEYS: 1 members hash of the session's worker, 2 users hash, 3 what moderators have decided (moderated.lua), 4 verified
--       hash (left out where tokens do not count)
-- ARGV: 1 session id, 2 its JSON (username, since; user and looks if it is verified), 3 username, 4 how many users may be
--       there ('0': any number), 5 who it is for moderators ('' if they are not asked); and if others may hold the name: 6
--       the user's id, empty for a guest, 7 and 8 the skeletons of the username
-- Returns {1 if the user was not in the room before, else 0; number of users; now, in s and microseconds; 1 if moderators
-- have decided anything about the room}; or, if nothing was done, {-1 if the room was full, -2 if another user holds the
-- name; number of users; now}, {-3; 'closed' or 'kicked'; until when (ms)}.
local session, member, username, users_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refused, decided = turned_away(KEYS[3], ARGV[5])
if refused then return refused end
local claimant = ARGV[6]
for at = 7, claimant and #ARGV or 5 do
  local holder = holder_of(KEYS[4], ARGV[at])
  if holder and holder ~= claimant then
    return {-2, redis.call('HLEN', KEYS[2]), redis.call('TIME')}
  end
end
local stored = redis.call('HGET', KEYS[1], session)
if users_max ~= '0' and not stored and redis.call('HEXISTS', KEYS[2], username) == 0 then
  local count = redis.call('HLEN', KEYS[2])
  if count >= tonumber(users_max) then return {-1, count, redis.call('TIME')} end
end
redis.call('HSET', KEYS[1], session, member)
local before = stored and cjson.decode(stored)
if KEYS[4] then
  if before then hold(KEYS[4], before, -1) end
  hold(KEYS[4], cjson.decode(member), 1)
end
before = before and before.username
if before and before ~= username and redis.call('HINCRBY', KEYS[2], before, -1) <= 0 then
  redis.call('HDEL', KEYS[2], before)
end
local sessions = 0
if before ~= username then sessions = redis.call('HINCRBY', KEYS[2], username, 1) end
return {sessions == 1 and 1 or 0, redis.call('HLEN', KEYS[2]), redis.call('TIME'), decided and 1 or 0}
