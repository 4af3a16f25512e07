-- Takes sessions of a dead worker out of a room, some at a time: a room may have any number of them, and everybody waits
-- while a script runs. Needs verified.lua and counted.lua.
-- KEYS: 1 members hash, 2 users hash, 3 verified hash, 4 counts hash
-- ARGV: 1 worker id if the hash holds those of others, too (`keys.older_members`), else ''; 2 cursor, '0' at first;
--       3 how many sessions at most; 4 the worker id
-- Returns {usernames whose last session that was, number of users left, next cursor ('0' if that was all); now, in s
-- and microseconds; how many sessions it had said that it has, where those are only counted}.
local worker, cursor, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local said = redis.call('HGET', KEYS[4], ARGV[4])
if said then redis.call('HDEL', KEYS[4], ARGV[4]) end
local next_cursor, page = unpack(redis.call('HSCAN', KEYS[1], cursor, 'COUNT', most))
local taken, sessions_of = {}, {}
for at = 1, #page, 2 do -- a small hash comes whole
  local member = cjson.decode(page[at + 1])
  if worker == '' or member.worker == worker then
    if #taken == most then
      next_cursor = cursor == '0' and 'again' or cursor
      break
    end
    taken[#taken + 1] = page[at]
    hold(KEYS[3], member, -1)
    sessions_of[member.username] = (sessions_of[member.username] or 0) + 1
  end
end
if #taken > 0 then redis.call('HDEL', KEYS[1], unpack(taken)) end
local gone = {}
for username, sessions in pairs(sessions_of) do
  if redis.call('HINCRBY', KEYS[2], username, -sessions) <= 0 then
    redis.call('HDEL', KEYS[2], username)
    gone[#gone + 1] = username
  end
end
return {
  gone, redis.call('HLEN', KEYS[2]) + (said and counted(KEYS[4]) or 0), next_cursor, redis.call('TIME'),
  tonumber(string.match(said or '', '^%d+')) or 0,
}
