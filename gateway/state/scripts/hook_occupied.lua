-- Whether somebody is in a room, as webhooks are told it: a change has a version of its own, higher than those before it,
-- even where the store has lost what they were. A room that was left is told so only once it stays empty.
-- Needs counted.lua.
-- KEYS: 1 users hash, 2 occupied hash (is, version, counter; empty: since when nobody is there, ms), 3 how far the
--       webhook was told, 4 counts hash
-- ARGV: 1 fence of the reader, 2 how long a room must stay empty (ms), 3 how long that is kept (s)
-- Returns {a fence above the reader's, or 0; 1 if somebody is there, as it is told; version, 0 if nothing was ever told;
-- how long to wait for more, ms; the version that the webhook was told, 0 if none}.
local fence, stays_ms, keep_s = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local told = redis.call('HMGET', KEYS[3], 'told', 'fence')
local fence_before = tonumber(told[2] or '') or 0
if fence_before > fence then return {fence_before} end
local stored = redis.call('HMGET', KEYS[2], 'is', 'version', 'counter', 'empty')
local is, version, empty_ms = stored[1] == '1', tonumber(stored[2] or '') or 0, tonumber(stored[4] or '')
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local is_here, wait_ms = redis.call('HLEN', KEYS[1]) > 0 or counted(KEYS[4]) > 0, 0
if is_here or not is then
  if empty_ms then redis.call('HDEL', KEYS[2], 'empty') end
elseif not empty_ms then
  redis.call('HSET', KEYS[2], 'empty', string.format('%.0f', now_ms))
  empty_ms = now_ms
end
if is and not is_here then wait_ms = math.max(0, stays_ms - (now_ms - empty_ms)) end
if is_here ~= is and wait_ms == 0 then
  is, version = is_here, math.max((tonumber(stored[3] or '') or 0) + 1, now_ms)
  local number = string.format('%.0f', version)
  redis.call('HSET', KEYS[2], 'is', is and '1' or '0', 'version', number, 'counter', number)
  redis.call('HDEL', KEYS[2], 'empty')
end
redis.call('EXPIRE', KEYS[2], keep_s) -- nothing where there is no such key
return {0, is and 1 or 0, version, wait_ms, tonumber(told[1] or '') or 0}
