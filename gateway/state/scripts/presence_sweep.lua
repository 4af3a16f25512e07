-- Takes all sessions of a dead worker out of a room.
-- KEYS: 1 members hash, 2 users hash
-- ARGV: 1 worker id
-- Returns {usernames whose last session that was, number of users left}.
local worker = ARGV[1]
local gone = {}
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local session, member = all[at], cjson.decode(all[at + 1])
  if member.worker == worker then
    redis.call('HDEL', KEYS[1], session)
    if redis.call('HINCRBY', KEYS[2], member.username, -1) <= 0 then
      redis.call('HDEL', KEYS[2], member.username)
      gone[#gone + 1] = member.username
    end
  end
end
return {gone, redis.call('HLEN', KEYS[2])}
