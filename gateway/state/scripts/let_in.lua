-- Whether moderators let somebody into a room. Put in front of the scripts that let people in.
-- Returns what a join is answered if they do not, else nil; and whether they have decided anything about the room.
local function turned_away(moderated_key, who)
  local decided = redis.call('HMGET', moderated_key, 'until', 'closed', 'kick:' .. who)
  if decided[1] and who ~= '' then
    local time = redis.call('TIME')
    local now_ms = time[1] * 1000 + time[2] / 1000
    local closed_ms = string.match(decided[2] or '', '^%d+ %d+ (%d+)')
    local back_ms = string.match(decided[3] or '', '^%d+ %d+ (%d+)')
    if closed_ms and tonumber(closed_ms) > now_ms then return {-3, 'closed', closed_ms} end
    if back_ms and tonumber(back_ms) > now_ms then return {-3, 'kicked', back_ms} end
  end
  return nil, decided[1]
end

