-- Looks at what moderators have decided about a room: put into the scripts that let people speak, in the place of their
-- line `--@moderated`, as functions would cost every message, and this costs the rooms where anything is decided.
--
-- Hash `moderated`, each value beginning with when it ends (ms since 1970):
--   until        the last end of all that is decided, mutes too
--   closed       <end> <when that was> <until when the room is closed> <why>
--   slow         <end> <least time between two messages of one user (ms)>
--   kick:<who>   <end> <when that was> <when who was kicked may come back> <why>
-- What was decided a moment ago is kept longer than it holds, for workers that have not heard of it.
-- Hash `mutes`: <who> -> <end>
-- Who: the id of a user; of a guest, who has none, \31 and its name, as no name holds a control character.
-- Both hashes are no KEYS of the scripts, for the reason that publish.lua gives. That there is anything is said by the
-- field `begun` of the meta hash, which is read anyway: `.0` stands behind its number then.
--
-- Takes `who`, `meta_key` and `now_ms`. Sets `refused` to "%<reason> <until>" if who speaks may not, and `set_slow_ms` to
-- the time between two messages, if moderators have set one.
local room = string.sub(meta_key, 1, -5)
local decided = redis.call('HMGET', room .. 'moderated', 'until', 'closed', 'slow', 'kick:' .. who)
local closed_ms = string.match(decided[2] or '', '^%d+ %d+ (%d+)') or '0'
local slow_end_ms, slow_time_ms = string.match(decided[3] or '', '^(%d+) (%d+)$')
local back_ms = string.match(decided[4] or '', '^%d+ %d+ (%d+)') or '0'
local muted_ms = redis.call('HGET', room .. 'mutes', who) or '0'
if tonumber(closed_ms) > now_ms then
  refused = '%closed ' .. closed_ms
elseif tonumber(back_ms) > now_ms then
  refused = '%kicked ' .. back_ms
elseif (tonumber(muted_ms) or 0) > now_ms then
  refused = '%muted ' .. muted_ms
elseif slow_end_ms and tonumber(slow_end_ms) > now_ms then
  set_slow_ms = tonumber(slow_time_ms)
elseif not decided[1] then -- all has ended
  redis.call('HSET', meta_key, 'begun', string.match(redis.call('HGET', meta_key, 'begun') or '0', '^%d+'))
end
