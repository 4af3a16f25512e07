-- Changes one thing that moderators have decided about a room (moderated.lua says what there is).
-- KEYS: 1 meta hash, 2 moderated hash, 3 mutes hash
-- ARGV: as they are named below
-- Returns {1 if it is so now, 0 if there are too many; now (ms); when it ends (ms), 0 if it was taken back}.
local meta_key, moderated_key, mutes_key = KEYS[1], KEYS[2], KEYS[3]
local is_mute, field = ARGV[1] ~= '', ARGV[2]
local for_ms = tonumber(ARGV[3]) -- nil takes it back
local rest = ARGV[4] -- what stands behind: of `slow` the time between two messages (ms), else why
local kept_ms = tonumber(ARGV[5]) -- how long it is kept at least for workers that have not heard of it; 0: no longer
local entries_max = tonumber(ARGV[6])
local key = is_mute and mutes_key or moderated_key
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local function end_of(value) return tonumber(string.match(value or '', '^%d+') or '0') end

-- Takes away what has ended; returns the last end of the rest.
local function prune(of, some)
  local last_ms, found = 0, some or redis.call('HGETALL', of)
  for at = 1, #found, 2 do
    local end_ms = found[at] == 'until' and 0 or end_of(found[at + 1])
    if found[at] ~= 'until' and end_ms <= now_ms then redis.call('HDEL', of, found[at]) end
    last_ms = math.max(last_ms, end_ms)
  end
  return last_ms
end

local count = redis.call('HLEN', key)
if count > 256 then -- all take some milliseconds to look at: ended ones do not stay many, if some are each time
  prune(key, redis.call('HRANDFIELD', key, 256, 'WITHVALUES'))
elseif count > 64 and count % 64 == 0 then
  prune(key)
end
local stored = redis.call('HGET', key, field)
if for_ms and not stored and redis.call('HLEN', key) > entries_max then return {0, now_ms, 0} end
local until_ms = for_ms and now_ms + for_ms or 0
if kept_ms > 0 then
  -- It was a moment ago, and some must go because of that, whether or not it is taken back.
  local at_ms = now_ms
  if not for_ms then at_ms, rest = string.match(stored or '', '^%d+ (%d+) %d+ ?(.*)$') end
  if at_ms then
    local end_ms = math.max(until_ms, now_ms + kept_ms)
    redis.call('HSET', key, field,
      string.format('%.0f %.0f %.0f %s', end_ms, tonumber(at_ms), math.max(until_ms, now_ms), rest))
  end
elseif for_ms then
  redis.call('HSET', key, field, string.format('%.0f', until_ms) .. (rest ~= '' and ' ' .. rest or ''))
else
  redis.call('HDEL', key, field)
end

-- Until when there is anything. Among many, what was taken back is not missed.
local last_ms = math.max(end_of(redis.call('HGET', moderated_key, 'until')), end_of(redis.call('HGET', key, field)))
if redis.call('HLEN', moderated_key) + redis.call('HLEN', mutes_key) <= 256 then
  last_ms = math.max(prune(moderated_key), prune(mutes_key))
end
local begun = redis.call('HGET', meta_key, 'begun')
local began = begun and string.match(begun, '^%d+')
if last_ms <= now_ms then
  redis.call('DEL', moderated_key, mutes_key)
  if began then redis.call('HSET', meta_key, 'begun', began) end
else
  local last = string.format('%.0f', last_ms)
  redis.call('HSET', moderated_key, 'until', last)
  redis.call('PEXPIREAT', moderated_key, last)
  redis.call('PEXPIREAT', mutes_key, last)
  if began then redis.call('HSET', meta_key, 'begun', began .. '.0') end
end
return {1, now_ms, until_ms}
