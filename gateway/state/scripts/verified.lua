-- Names of verified users: who shows a token holds the skeletons of its name while it is in the room, for every session
-- once. Put in front of the scripts that put sessions in and take them out.
-- A member's JSON has `user` (its id) and `looks` (its skeletons) if it is verified; the hash has, for each skeleton,
-- "<sessions> <user id>".
local function holder_of(verified_key, look)
  local held = redis.call('HGET', verified_key, look)
  if not held then return nil, 0 end
  local sessions, user = string.match(held, '^(%d+) (.*)$')
  return user, tonumber(sessions)
end

local function hold(verified_key, member, change)
  for _, look in ipairs(member.looks or {}) do
    local user, sessions = holder_of(verified_key, look)
    if user == nil or user == member.user then
      sessions = sessions + change
      if sessions > 0 then
        redis.call('HSET', verified_key, look, string.format('%d ', sessions) .. member.user)
      else
        redis.call('HDEL', verified_key, look)
      end
    end
  end
end

