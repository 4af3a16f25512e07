-- Slow mode: one user's messages in a room have at least some time between them. The text of publish.lua stands before
-- this one as the function `publish`.
-- KEYS: 1 the user's slow key, then those of publish.lua
-- ARGV: those of publish.lua, then the least time between two messages (ms)
-- Returns what publish.lua does; "~<ms>" if the user's last message was so recent that there are that many left.
local slow_key, slow_ms = table.remove(KEYS, 1), table.remove(ARGV)
local left_ms = redis.call('PTTL', slow_key)
-- What was sent before under its idempotency key is no new message.
local is_repeated = KEYS[3] and redis.call('EXISTS', unpack(KEYS, 3)) > 0
if left_ms > 0 and not is_repeated then
  -- What moderators have set counts in place of the rule.
  local set = redis.call('HGET', string.sub(KEYS[2], 1, -5) .. 'moderated', 'slow')
  local end_ms, time = tonumber(string.match(set or '', '^%d+') or '0'), redis.call('TIME')
  if end_ms <= time[1] * 1000 then return '~' .. left_ms end
end
local answer = publish()
local is_stored = not is_repeated and not string.find(answer, '^[~%%!]')
if is_stored and not set_slow_ms then redis.call('SET', slow_key, '1', 'PX', slow_ms) end -- what is refused costs nothing
return answer
