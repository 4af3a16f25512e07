-- Takes all sessions of one worker out of a room: the worker is dead.
-- KEYS: 1 members hash, 2 users hash
-- ARGV: 1 worker id
-- Returns {usernames whose last session that was, number of users left}.
local gone = {}
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local member = cjson.decode(all[at + 1])
  if member.worker == ARGV[1] then
    redis.call('HDEL', KEYS[1], all[at])
    if redis.call('HINCRBY', KEYS[2], member.username, -1) <= 0 then
      redis.call('HDEL', KEYS[2], member.username)
      gone[#gone + 1] = member.username
    end
  end
end
return {gone, redis.call('HLEN', KEYS[2])}
